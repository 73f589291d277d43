//! What an error comes from, as a person reads it.

/// An error and what it comes from, on one line. Transport errors quote addresses, never bodies.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = chain.map(|error| error.to_string().replace(['\n', '\r'], " ")).collect();
    texts.dedup();
    texts.join(": ").chars().take(300).collect()
}
