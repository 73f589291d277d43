//! Reconciles applications: is the Secret there and complete, is the endpoint allowed. Nothing is asked of Cronofy: whether it
//! accepts the credentials shows with the first subscription.

use std::sync::Arc;
use std::time::Duration;

use k8s_controller::conditions::{self, ConditionStatus, DesiredCondition};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::accounts::{self, ApplicationSecret};
use super::context::{ApplicationKey, Context};
use super::subscription::{Refusal, endpoint};
use crate::api::{CronofyApplication, CronofyApplicationStatus, condition};
use crate::kubernetes::{self, CallError};

/// First and longest wait between two looks at a Secret that a person has to mend.
const FIRST_LOOK: Duration = Duration::from_secs(60);
const LAST_LOOK: Duration = Duration::from_secs(300);
