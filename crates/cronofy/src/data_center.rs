//! Cronofy's data centres and their addresses.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// A Cronofy data centre. Each is a separate instance: applications, clients and tokens belong to one of them.
///
/// The constants are the documented ones. Any other two-letter code parses as well, since Cronofy's own SDKs build the
/// address from the code by the same pattern:
///
/// ```
/// use cronofy::DataCenter;
///
/// assert_eq!(DataCenter::US.api_url().as_str(), "https://api.cronofy.com/");
/// assert_eq!("de".parse(), Ok(DataCenter::DE));
/// assert_eq!(DataCenter::DE.api_url().as_str(), "https://api-de.cronofy.com/");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DataCenter([u8; 2]);

/// The text was not a data centre's code: two ASCII letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a data centre is named by two ASCII letters, such as `us` or `de`")]
pub struct UnknownDataCenter;

impl DataCenter {
    /// United States, Cronofy's default.
    pub const US: Self = Self(*b"us");
    /// United Kingdom.
    pub const UK: Self = Self(*b"uk");
    /// Germany.
    pub const DE: Self = Self(*b"de");
    /// Australia.
    pub const AU: Self = Self(*b"au");
    /// Canada.
    pub const CA: Self = Self(*b"ca");
    /// Singapore.
    pub const SG: Self = Self(*b"sg");

    /// Base address of the API.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "two ASCII letters in this place always give a valid URL; a test tries all"
    )]
    pub fn api_url(self) -> Url {
        let url = match self {
            Self::US => "https://api.cronofy.com/".to_owned(),
            other => format!("https://api-{other}.cronofy.com/"),
        };
        Url::parse(&url).expect("the address of a data centre is a URL")
    }
}

impl fmt::Display for DataCenter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.0.map(char::from);
        write!(f, "{first}{second}")
    }
}

impl FromStr for DataCenter {
    type Err = UnknownDataCenter;

    fn from_str(code: &str) -> Result<Self, UnknownDataCenter> {
        match code.as_bytes() {
            [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
                Ok(Self([first.to_ascii_lowercase(), second.to_ascii_lowercase()]))
            }
            _ => Err(UnknownDataCenter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_data_centres_have_their_documented_addresses() {
        let table = [
            (DataCenter::US, "https://api.cronofy.com/"),
            (DataCenter::UK, "https://api-uk.cronofy.com/"),
            (DataCenter::DE, "https://api-de.cronofy.com/"),
            (DataCenter::AU, "https://api-au.cronofy.com/"),
            (DataCenter::CA, "https://api-ca.cronofy.com/"),
            (DataCenter::SG, "https://api-sg.cronofy.com/"),
        ];
        for (data_center, address) in table {
            assert_eq!(data_center.api_url().as_str(), address);
            assert_eq!(data_center.to_string().parse(), Ok(data_center));
        }
    }

    #[test]
    fn every_two_letter_code_gives_an_address() {
        for first in 'a'..='z' {
            for second in 'a'..='z' {
                let data_center: DataCenter = format!("{first}{second}").parse().unwrap();
                assert_eq!(data_center.api_url().scheme(), "https");
            }
        }
        assert_eq!("DE".parse(), Ok(DataCenter::DE));
    }

    #[test]
    fn what_is_not_two_letters_is_refused() {
        for text in ["", "u", "usa", "u1", "u.", "éé", "../x"] {
            assert_eq!(text.parse::<DataCenter>(), Err(UnknownDataCenter), "{text:?}");
        }
    }
}
