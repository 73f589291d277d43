//! Access tokens: when one is got, and what a refusal means.

use super::*;

#[test]
fn a_token_is_got_only_when_cronofy_is_asked_for_something() {
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    case.observed.token = false;
    assert_eq!(case.next(), Step::Load, "the store needs none");
    case.load(stored(&[]));
    assert_eq!(case.next(), Step::RefreshToken);
    case.answer(Outcome::TokenReady);
    assert!(matches!(case.next(), Step::ReadEvents(_)));
}

#[test]
fn a_token_that_has_run_out_is_replaced_and_the_read_goes_on_where_it_was() {
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    case.load(stored(&[])).page(vec![present(soon("a"))], true);
    case.answer(Outcome::Unauthorized);
    assert_eq!(case.next(), Step::RefreshToken);
    case.answer(Outcome::TokenReady);
    assert_eq!(case.reads().page, 1);
    case.page(vec![present(soon("b"))], false);
    assert_eq!(case.commits().events.len(), 2);
}

#[test]
fn a_fresh_token_that_is_refused_is_not_replaced_at_once() {
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    case.load(stored(&[])).answer(Outcome::Unauthorized).answer(Outcome::TokenReady).answer(Outcome::Unauthorized);
    assert!(matches!(case.next(), Step::Wait { why: Why::Retry, .. }));
    assert_eq!(case.observed.record.failures.as_ref().unwrap().last.reason, Reason::Unauthorized);

    let mut retry = case.again();
    retry.now = case.retry_at();
    retry.load(stored(&[]));
    assert_eq!(retry.next(), Step::RefreshToken, "the refused one is not used again");
    retry.answer(Outcome::TokenReady).answer(Outcome::Unauthorized);
    assert!(matches!(retry.next(), Step::Wait { why: Why::Retry, .. }), "one new token a try");
    assert_eq!(retry.observed.record.failures.as_ref().unwrap().count, 2);
}

#[test]
fn a_read_outlives_any_number_of_tokens() {
    let mut case = Case::settled().marked(&[NotificationType::Change]);
    case.load(stored(&[]));
    for page in 0..5 {
        case.answer(Outcome::Unauthorized).answer(Outcome::TokenReady);
        assert_eq!(case.reads().page, page);
        case.page(vec![present(soon(&format!("event {page}")))], page < 4);
    }
    assert_eq!(case.commits().events.len(), 5);
}
