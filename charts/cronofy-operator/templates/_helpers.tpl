{{- define "cronofy-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "cronofy-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- $name := include "cronofy-operator.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "cronofy-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "cronofy-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "cronofy-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name must name an existing ServiceAccount, since serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Never changes: selectors are immutable. */}}
{{- define "cronofy-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cronofy-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "cronofy-operator.labels" -}}
{{- with .Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "cronofy-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: cronofy-operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Name, namespace and labels of an object: dict "root" $ "suffix" "-webhook" "annotations" {}. */}}
{{- define "cronofy-operator.metadata" -}}
name: {{ include "cronofy-operator.fullname" .root }}{{ .suffix }}
namespace: {{ default (include "cronofy-operator.namespace" .root) .namespace }}
labels:
  {{- include "cronofy-operator.labels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "cronofy-operator.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* Host of webhook.baseUrl, without its port. */}}
{{- define "cronofy-operator.webhookHost" -}}
{{- $base := required "webhook.baseUrl must be set to the URL that Cronofy calls, since webhook.ingress or webhook.httpRoute is enabled" .Values.webhook.baseUrl }}
{{- (urlParse $base).host | regexFind "^[^:]+" }}
{{- end }}

{{/* The only path that is exposed. */}}
{{- define "cronofy-operator.webhookPath" -}}
{{- trimSuffix "/" (urlParse .Values.webhook.baseUrl).path }}/hook/
{{- end }}

{{/* Port of a URL, or that of its scheme. */}}
{{- define "cronofy-operator.portOf" -}}
{{- $url := urlParse . }}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) }}
{{- end }}

{{/* Port of the webhook's Service. */}}
{{- define "cronofy-operator.webhookPort" -}}
{{- .Values.webhook.service.port | default (ternary 443 80 (not (empty .Values.webhook.tls.secretName))) }}
{{- end }}

{{/* Why no delivery of Cronofy can arrive at webhook.baseUrl; empty if none is known. */}}
{{- define "cronofy-operator.webhookProblem" -}}
{{- $base := .Values.webhook.baseUrl }}
{{- if $base }}
{{- $host := (urlParse $base).host | regexFind "^[^:]+" }}
{{- $longest := 100 }}
{{- if not (hasPrefix "https://" $base) -}}
It does not begin with https://: whoever is on the way can read the deliveries.
{{- else if gt (len (trimSuffix "/" $base)) $longest -}}
It is longer than {{ $longest }} characters: Cronofy does not take the callback URLs that begin with it.
{{- else if or (eq $host "localhost") (regexMatch "\\.(local|localhost|internal|svc|test|example|invalid)$" $host) (not (contains "." $host)) (regexMatch "^(10|127|192\\.168|172\\.(1[6-9]|2[0-9]|3[01]))\\." $host) -}}
Its host is not a public one: Cronofy cannot reach it.
{{- end }}
{{- end }}
{{- end }}

{{/* Rules of files/rbac.yaml by the names of their sections: dict "root" $ "sections" (list …). */}}
{{- define "cronofy-operator.rules" -}}
{{- $rights := .root.Files.Get "files/rbac.yaml" | fromYaml }}
{{- range .sections }}
{{- index $rights . | toYaml | nindent 0 }}
{{- end }}
{{- end }}

{{/* Sections that apply where the operator's objects live. */}}
{{- define "cronofy-operator.objectSections" -}}
{{- list "objects" | concat (ternary (list "secretOutputs") list .Values.secretOutputs) | toJson }}
{{- end }}

{{/* Labels of a pod that runs once: not the selector's, so that no Service leads there. dict "root" $ "name" "test". */}}
{{- define "cronofy-operator.onceLabels" -}}
app.kubernetes.io/name: {{ include "cronofy-operator.name" .root }}-{{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: cronofy-operator
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{/* Spec of a pod that runs the binary once: dict "root" $ "arguments" (list …). */}}
{{- define "cronofy-operator.oncePod" -}}
restartPolicy: Never
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ first .arguments }}
    image: {{ include "cronofy-operator.image" .root }}
    imagePullPolicy: {{ .root.Values.image.pullPolicy }}
    terminationMessagePolicy: FallbackToLogsOnError
    args:
      {{- toYaml .arguments | nindent 6 }}
    {{- with .root.Values.securityContext }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .root.Values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
