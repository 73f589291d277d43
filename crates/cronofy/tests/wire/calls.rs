//! Every call of the client, with planted credentials that must never show up anywhere.

use cronofy::secrecy::SecretString;
use cronofy::{Client, Credentials, Endpoint, Error, EventsQuery, Filters, NewChannel, PageUrl, Revocation};

pub const ALL: [Endpoint; 11] = [
    Endpoint::RefreshToken,
    Endpoint::ExchangeCode,
    Endpoint::ApplicationCalendar,
    Endpoint::Revoke,
    Endpoint::UserInfo,
    Endpoint::Calendars,
    Endpoint::CreateChannel,
    Endpoint::ListChannels,
    Endpoint::CloseChannel,
    Endpoint::Events,
    Endpoint::EventsPage,
];

/// The calls whose success has no content.
pub const WITHOUT_CONTENT: [Endpoint; 2] = [Endpoint::Revoke, Endpoint::CloseChannel];

pub const WITH_CLIENT_CREDENTIALS: [Endpoint; 4] =
    [Endpoint::RefreshToken, Endpoint::ExchangeCode, Endpoint::ApplicationCalendar, Endpoint::Revoke];

pub fn application() -> Credentials {
    Credentials { client_id: "id-1".to_owned(), client_secret: "canary/se\"cret".into() }
}

pub fn access_token() -> SecretString {
    "canary-at".into()
}

pub fn refresh_token() -> SecretString {
    "canary rt+".into()
}

pub fn new_channel() -> NewChannel {
    NewChannel { callback_url: "https://h.example.org/1".to_owned(), filters: Filters::default() }
}

/// The address of a second page, as it would have come with the first.
pub fn second_page(client: &Client) -> PageUrl {
    let url = client.api().join("v1/events/pages/2").unwrap();
    let body = format!(r#"{{"pages":{{"next_page":"{url}"}},"events":[]}}"#);
    client.decode_events_page(body.as_bytes()).unwrap().next.unwrap()
}

pub async fn call(client: &Client, endpoint: Endpoint) -> Result<(), Error> {
    let application = application();
    let token = access_token();
    match endpoint {
        Endpoint::RefreshToken => client.refresh_token(&application, &refresh_token()).await.map(drop),
        Endpoint::ExchangeCode => {
            client.exchange_code(&application, &"canary-code".into(), "https://op.example.org/cb").await.map(drop)
        }
        Endpoint::ApplicationCalendar => client.application_calendar(&application, "room-7").await.map(drop),
        Endpoint::Revoke => client.revoke(&application, Revocation::Token(&refresh_token())).await.map(drop),
        Endpoint::UserInfo => client.userinfo(&token).await.map(drop),
        Endpoint::Calendars => client.calendars(&token).await.map(drop),
        Endpoint::CreateChannel => client.create_channel(&token, &new_channel()).await.map(drop),
        Endpoint::ListChannels => client.channels(&token).await.map(drop),
        Endpoint::CloseChannel => client.close_channel(&token, "chn_1").await.map(drop),
        Endpoint::Events => client.events(&token, &EventsQuery::default()).await.map(drop),
        Endpoint::EventsPage => client.next_page(&token, &second_page(client)).await.map(drop),
    }
}

pub async fn failure(client: &Client, endpoint: Endpoint) -> Error {
    let error = call(client, endpoint).await.expect_err(endpoint.as_str());
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("canary"), "{endpoint}: {shown}");
    assert!(!error.to_string().contains(char::is_control), "{endpoint}: {error:?}");
    error
}
