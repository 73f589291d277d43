//! What somebody may have done to an output.

/// Why an output is not what was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A label or an owner reference is missing or wrong.
    #[error("its labels or owner references are not as they should be")]
    Metadata,
    /// A copy of the content stands in an annotation.
    #[error("an annotation holds a copy of it")]
    Annotation,
    /// It has been made immutable.
    #[error("it was made immutable")]
    Immutable,
    /// A key is missing, or there are others.
    #[error("keys were added or removed")]
    Keys,
    /// A document cannot be read.
    #[error("its content cannot be read")]
    Unreadable,
    /// A release with another format has written it.
    #[error("its format is that of another release")]
    Format,
    /// A document is not what was written.
    #[error("its content was changed")]
    Content,
    /// It is the content of another subscription.
    #[error("its content is that of another subscription")]
    OtherSubscription,
    /// A slice that the index lists does not exist.
    #[error("one of its slices is missing")]
    SliceMissing,
    /// A slice that the index lists is not what was written, or not marked as it should be.
    #[error("one of its slices was changed")]
    Slice,
}
