// Nothing is built from these: tests take the CustomResourceDefinitions that lie in them.
module cronofy-operator.dev/hack/tools/definitions

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
