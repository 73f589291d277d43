//! What the engine relies on in a store, held against each kind of it: `ConfigMap`s and Secrets on a real API server, and a
//! calendar store over SQLite and over PostgreSQL.
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod backend;
#[path = "../calendar/mod.rs"]
mod calendar;
mod cases;
mod remote;
#[path = "../served/mod.rs"]
mod served;
mod tls;

/// All cases for one kind of store.
macro_rules! contract {
    ($kind:ident, $backend:expr, [$($case:ident,)*]) => {
        mod $kind {
            $(
                #[tokio::test]
                async fn $case() {
                    crate::cases::$case(&$backend.await).await;
                }
            )*
        }
    };
}

macro_rules! contracts {
    ($($kind:ident: $backend:expr;)*) => {
        $(
            contract!($kind, $backend, [
                nothing_is_stored_at_first,
                what_is_committed_is_read_back,
                a_commit_is_refused_on_any_head_but_the_last,
                two_writers_who_begin_at_once_leave_one_calendar,
                an_equal_commit_writes_nothing,
                a_cursor_that_moved_is_written_alone,
                what_is_erased_is_gone_and_may_be_erased_again,
                what_is_released_stays,
                a_commit_whose_answer_is_lost_is_told_by_the_next_head,
                a_narrower_visibility_leaves_nothing_of_what_was_wider,
                one_change_in_a_large_calendar_writes_little,
                a_name_that_somebody_else_has_is_left_alone,
                hostile_events_are_read_back_as_they_are,
            ]);
        )*
    };
}

contracts! {
    config_map: crate::backend::Backend::objects(cronofy_operator::api::StoreKind::ConfigMap);
    secret: crate::backend::Backend::objects(cronofy_operator::api::StoreKind::Secret);
    remote_over_sqlite: crate::backend::Backend::remote(crate::served::Served::sqlite());
    remote_over_postgres: crate::backend::Backend::remote(crate::served::Served::postgres());
}
