//! Schemas of Kubernetes' own types, with the bounds that it enforces on them elsewhere but leaves out of their schemas.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::rules::{LABEL_KEY, LABEL_KEYS, LABEL_VALUE, VALUES_WITH_OPERATOR, rules};

/// A list of `metav1.Condition`, one per type.
pub fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "description": "One aspect of the present state.",
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": { "description": "The aspect.", "type": "string", "minLength": 1, "maxLength": 316 },
                "status": { "description": "Whether it holds.", "type": "string", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": {
                    "description": "The generation of the spec that this was found for.",
                    "type": "integer", "format": "int64", "minimum": 0
                },
                "lastTransitionTime": {
                    "description": "When the status last became another one.",
                    "type": "string", "format": "date-time"
                },
                "reason": { "description": "One word for the cause.", "type": "string", "minLength": 1, "maxLength": 1024 },
                "message": {
                    "description": "One line for a person: the cause, and what to do about it.",
                    "type": "string", "maxLength": 32768
                }
            }
        }
    })
}

/// A `metav1.LabelSelector`.
pub fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "description": "Labels that must all be there with these values. At most 64.",
                "type": "object",
                "maxProperties": 64,
                "additionalProperties": { "type": "string", "maxLength": 63, "x-kubernetes-validations": rules([LABEL_VALUE]) },
                "x-kubernetes-validations": rules([LABEL_KEYS])
            },
            "matchExpressions": {
                "description": "Requirements that must all be met. At most 64.",
                "type": "array",
                "maxItems": 64,
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "description": "One requirement on the labels.",
                    "type": "object",
                    "required": ["key", "operator"],
                    "x-kubernetes-validations": rules([VALUES_WITH_OPERATOR]),
                    "properties": {
                        "key": {
                            "description": "Key of the label.",
                            "type": "string", "maxLength": 317, "x-kubernetes-validations": rules([LABEL_KEY])
                        },
                        "operator": {
                            "description": "`In` and `NotIn` compare the label's value with `values`; `Exists` and \
                                `DoesNotExist` ask for the label alone.",
                            "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]
                        },
                        "values": {
                            "description": "Values for `In` and `NotIn`. At most 64.",
                            "type": "array",
                            "maxItems": 64,
                            "x-kubernetes-list-type": "atomic",
                            "items": { "type": "string", "maxLength": 63, "x-kubernetes-validations": rules([LABEL_VALUE]) }
                        }
                    }
                }
            }
        }
    })
}
