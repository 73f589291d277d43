{{/* What the store is, as words that are empty if it is not: the sidecar, the store over SQLite, the store that is served with TLS. */}}
{{- define "cronofy-operator.storeSidecar" -}}
{{- if and .Values.store.enabled (eq .Values.store.mode "sidecar") }}sidecar{{ end }}
{{- end }}

{{- define "cronofy-operator.storeDeployment" -}}
{{- if and .Values.store.enabled (eq .Values.store.mode "deployment") }}deployment{{ end }}
{{- end }}

{{- define "cronofy-operator.storeSqlite" -}}
{{- if and .Values.store.enabled (eq .Values.store.database.type "sqlite") }}sqlite{{ end }}
{{- end }}

{{- define "cronofy-operator.storeTls" -}}
{{- if and .Values.store.enabled .Values.store.tls.secretName }}tls{{ end }}
{{- end }}

{{- define "cronofy-operator.storeName" -}}
{{ include "cronofy-operator.fullname" . }}-store
{{- end }}

{{/* Of the store's own pods: not the selector's of the operator. */}}
{{- define "cronofy-operator.storeSelectorLabels" -}}
app.kubernetes.io/name: {{ printf "%s-store" (include "cronofy-operator.name" . | trunc 57) }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of the pods that the store runs in. */}}
{{- define "cronofy-operator.storePodLabels" -}}
{{- if include "cronofy-operator.storeSidecar" . }}
{{- include "cronofy-operator.selectorLabels" . }}
{{- else }}
{{- include "cronofy-operator.storeSelectorLabels" . }}
{{- end }}
{{- end }}

{{- define "cronofy-operator.storeLabels" -}}
{{- $own := include "cronofy-operator.storeSelectorLabels" . | fromYaml }}
{{- merge (dict "app.kubernetes.io/component" "store") $own (include "cronofy-operator.labels" . | fromYaml) | toYaml }}
{{- end }}

{{/* Name, namespace and labels of an object: dict "root" $ "labels" {} "annotations" {}. */}}
{{- define "cronofy-operator.storeMetadata" -}}
name: {{ include "cronofy-operator.storeName" .root }}
namespace: {{ include "cronofy-operator.namespace" .root }}
labels:
  {{- include "cronofy-operator.storeLabels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Whose rights the store has. */}}
{{- define "cronofy-operator.storeServiceAccountName" -}}
{{- if include "cronofy-operator.storeSidecar" . }}
{{- include "cronofy-operator.serviceAccountName" . }}
{{- else if .Values.store.serviceAccount.create }}
{{- default (include "cronofy-operator.storeName" .) .Values.store.serviceAccount.name }}
{{- else }}
{{- required "store.serviceAccount.name must name an existing ServiceAccount, since store.serviceAccount.create is false" .Values.store.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "cronofy-operator.storePort" -}}
{{- .Values.store.containerPort | int | default (ternary 8443 8081 (not (empty (include "cronofy-operator.storeTls" .)))) }}
{{- end }}

{{/* The host that the certificate is for. */}}
{{- define "cronofy-operator.storeHost" -}}
{{ include "cronofy-operator.storeName" . }}.{{ include "cronofy-operator.namespace" . }}.svc
{{- end }}

{{/* What operator and readers call, so that `status.output.url` is the same for both. */}}
{{- define "cronofy-operator.storeUrl" -}}
{{- if include "cronofy-operator.storeTls" . -}}
https://{{ include "cronofy-operator.storeHost" . }}:{{ include "cronofy-operator.storePort" . }}
{{- else -}}
http://127.0.0.1:{{ include "cronofy-operator.storePort" . }}
{{- end }}
{{- end }}

{{/* Claim with the SQLite database. */}}
{{- define "cronofy-operator.storeClaim" -}}
{{- .Values.store.database.persistence.existingClaim | default (include "cronofy-operator.storeName" .) }}
{{- end }}

{{/* Security context of a pod with the database in it: what is mounted is the group's. Not where the platform chooses the group. */}}
{{- define "cronofy-operator.storePodSecurityContext" -}}
{{- $context := deepCopy .Values.podSecurityContext }}
{{- if and (include "cronofy-operator.storeSqlite" .) $context.runAsGroup }}
{{- $context = merge $context (dict "fsGroup" $context.runAsGroup "fsGroupChangePolicy" "OnRootMismatch") }}
{{- end }}
{{- toYaml $context }}
{{- end }}

{{/* The token by which a pod calls the API server, as a volume. */}}
{{- define "cronofy-operator.accessVolume" -}}
- name: access
  projected:
    defaultMode: 0444
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end }}

{{/* The container, but for its restart policy. In a sidecar it has no say in whether its pod is ready, since that pod takes
notifications while its store waits for something. */}}
{{- define "cronofy-operator.storeContainer" -}}
{{- $store := .Values.store -}}
name: store
image: {{ include "cronofy-operator.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
terminationMessagePolicy: FallbackToLogsOnError
command: [/calendar-store]
args:
  - serve
  {{- if include "cronofy-operator.storeSqlite" . }}
  - --database=sqlite:/var/lib/calendar-store/store.db
  {{- else }}
  - --database-file=/etc/calendar-store/database/url
  {{- end }}
  {{- if include "cronofy-operator.storeTls" . }}
  - --listen=0.0.0.0:{{ include "cronofy-operator.storePort" . }}
  - --tls-cert=/etc/calendar-store/tls/tls.crt
  - --tls-key=/etc/calendar-store/tls/tls.key
  {{- else }}
  # Inside the pod only, since tokens and events would be readable on their way.
  - --listen=127.0.0.1:{{ include "cronofy-operator.storePort" . }}
  {{- end }}
  - --admin-listen=0.0.0.0:{{ $store.adminPort }}
  - --audience={{ $store.audience }}
  - --writer=system:serviceaccount:{{ include "cronofy-operator.namespace" . }}:{{ include "cronofy-operator.serviceAccountName" . }}
  - --tombstones={{ $store.tombstones }}
  - --log-format={{ .Values.log.format }}
  {{- with $store.extraArgs }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  - name: RUST_LOG
    value: {{ .Values.log.filter | quote }}
  {{- with $store.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  {{- if include "cronofy-operator.storeTls" . }}
  - name: store
    containerPort: {{ include "cronofy-operator.storePort" . }}
  {{- end }}
  - name: store-metrics
    containerPort: {{ $store.adminPort }}
livenessProbe:
  httpGet:
    path: /livez
    port: store-metrics
  {{- toYaml .Values.livenessProbe | nindent 2 }}
{{- if include "cronofy-operator.storeDeployment" . }}
readinessProbe:
  httpGet:
    path: /readyz
    port: store-metrics
  {{- toYaml .Values.readinessProbe | nindent 2 }}
{{- end }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $store.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: access
    mountPath: /var/run/secrets/kubernetes.io/serviceaccount
    readOnly: true
  # Commits that are larger than a little, in files without a name.
  - name: store-spool
    mountPath: /tmp
  {{- if include "cronofy-operator.storeSqlite" . }}
  - name: store-data
    mountPath: /var/lib/calendar-store
  {{- else }}
  - name: store-database
    mountPath: /etc/calendar-store/database
    readOnly: true
  {{- end }}
  {{- if include "cronofy-operator.storeTls" . }}
  - name: store-tls
    mountPath: /etc/calendar-store/tls
    readOnly: true
  {{- end }}
  {{- with $store.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* What the container mounts, but for `access`. */}}
{{- define "cronofy-operator.storeVolumes" -}}
{{- $store := .Values.store -}}
- name: store-spool
  emptyDir:
    sizeLimit: {{ $store.spoolSize }}
{{- if not (include "cronofy-operator.storeSqlite" .) }}
- name: store-database
  secret:
    secretName: {{ $store.database.postgres.existingSecret }}
    defaultMode: 292 # 0444: whichever user the platform chooses may read it, and no other container mounts it.
    items:
      - key: {{ $store.database.postgres.key }}
        path: url
{{- else if $store.database.persistence.ephemeral }}
- name: store-data
  emptyDir: {}
{{- else }}
- name: store-data
  persistentVolumeClaim:
    claimName: {{ include "cronofy-operator.storeClaim" . }}
{{- end }}
{{- if include "cronofy-operator.storeTls" . }}
# Optional: while there is no certificate yet, the store runs and says so instead of hanging.
- name: store-tls
  secret:
    secretName: {{ $store.tls.secretName }}
    defaultMode: 292
    optional: true
    items:
      - key: tls.crt
        path: tls.crt
      - key: tls.key
        path: tls.key
{{- end }}
{{- end }}

{{/* What the operator shows the store, and trusts it by, as a volume. */}}
{{- define "cronofy-operator.storeClientVolume" -}}
- name: calendar-store
  projected:
    defaultMode: 0444
    sources:
      - serviceAccountToken:
          path: token
          audience: {{ .Values.store.audience | quote }}
          expirationSeconds: 3607
      {{- if include "cronofy-operator.storeTls" . }}
      {{- with .Values.store.tls.authority }}
      - {{ ternary "configMap" "secret" (not (empty .configMapName)) }}:
          name: {{ .configMapName | default .secretName | default $.Values.store.tls.secretName }}
          optional: true
          items:
            - key: {{ .key }}
              path: ca.crt
      {{- end }}
      {{- end }}
{{- end }}

{{/* Who may reach the store: the operator, whoever else may. */}}
{{- define "cronofy-operator.storeIngress" -}}
# Readers of the calendar store, and the operator.
- ports:
    - port: store
  {{- with .Values.networkPolicy.storeFrom }}
  from:
    {{- toYaml . | nindent 4 }}
    {{- if include "cronofy-operator.storeDeployment" $ }}
    - podSelector:
        matchLabels:
          {{- include "cronofy-operator.selectorLabels" $ | nindent 10 }}
    {{- end }}
  {{- end }}
{{- end }}

{{/* What the store itself calls. */}}
{{- define "cronofy-operator.storeEgress" -}}
{{- if not (include "cronofy-operator.storeSqlite" .) -}}
# The store's database.
- ports:
    - port: {{ .Values.store.database.postgres.port }}
{{- end }}
{{- end }}
