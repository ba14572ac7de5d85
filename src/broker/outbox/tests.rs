//! Limits, closing and waking.

use std::{future::poll_fn, time::Duration};

use super::{queue::PROGRESS_TIME, *};

const LIMITS: OutboxLimits = OutboxLimits {
    hard_bytes: 100,
    soft_bytes: 50,
    soft_time: Duration::from_secs(10),
};

fn frame(bytes: usize) -> Frame {
    vec![b'x'; bytes].into()
}

fn message(bytes: usize) -> OutboxEntry {
    OutboxEntry::Message(frame(bytes))
}

fn take(outbox: &Outbox) -> Poll<Result<usize, Interrupt>> {
    let mut frames = Vec::new();
    outbox
        .poll_take(&mut Context::from_waker(Waker::noop()), &mut frames)
        .map_ok(|()| frames.iter().map(Frame::len).sum())
}

#[tokio::test(start_paused = true)]
async fn counts_bytes_until_they_are_written() {
    let outbox = Outbox::new(LIMITS);
    assert!(outbox.push(message(60)));
    assert_eq!(take(&outbox), Poll::Ready(Ok(60)));
    assert!(outbox.push(message(40)));
    outbox.written(60);
    assert!(outbox.push(message(60)));
    assert!(!outbox.push(message(1)), "the hard limit");
    assert_eq!(
        take(&outbox),
        Poll::Ready(Err(Interrupt::Closed(CloseReason::SlowConsumer)))
    );
    assert!(!outbox.push(message(1)), "closed for good");
}

#[tokio::test(start_paused = true)]
async fn a_single_large_frame_fits_into_an_empty_outbox() {
    let outbox = Outbox::new(LIMITS);
    assert!(outbox.push(message(1000)));
    assert_eq!(take(&outbox), Poll::Ready(Ok(1000)));
    assert!(!outbox.push(message(1)));
}

#[tokio::test(start_paused = true)]
async fn tolerates_the_soft_limit_for_its_time() {
    let outbox = Outbox::new(LIMITS);
    assert!(outbox.push(message(60)));
    tokio::time::advance(Duration::from_secs(9)).await;
    outbox.check_stall();
    assert_eq!(outbox.closed(), None);
    assert_eq!(take(&outbox), Poll::Ready(Ok(60)));
    outbox.written(20);
    assert!(outbox.push(message(20)), "the time begins anew");
    tokio::time::advance(Duration::from_secs(9)).await;
    outbox.check_stall();
    assert_eq!(outbox.closed(), None);
    tokio::time::advance(Duration::from_secs(1)).await;
    outbox.check_stall();
    assert_eq!(outbox.closed(), Some(CloseReason::SlowConsumer));
}

#[tokio::test(start_paused = true)]
async fn knows_whether_a_client_that_is_behind_still_reads() {
    let outbox = Outbox::new(LIMITS);
    assert!(outbox.push(message(60)));
    assert!(outbox.push(message(30)));
    assert!(outbox.is_catching_up(), "it has had no time yet");
    tokio::time::advance(PROGRESS_TIME).await;
    assert!(!outbox.is_catching_up(), "it takes nothing");
    assert_eq!(take(&outbox), Poll::Ready(Ok(90)));
    outbox.written(30);
    assert!(outbox.is_catching_up());
    outbox.written(30);
    assert!(!outbox.is_catching_up(), "it is no longer behind");
}

#[tokio::test(start_paused = true)]
async fn what_was_queued_before_a_close_still_comes_out() {
    let outbox = Outbox::new(LIMITS);
    assert!(outbox.push(message(10)));
    outbox.close(CloseReason::ServerShuttingDown);
    outbox.close(CloseReason::InternalError);
    assert!(!outbox.push(message(10)));
    assert_eq!(take(&outbox), Poll::Ready(Ok(10)));
    assert_eq!(
        take(&outbox),
        Poll::Ready(Err(Interrupt::Closed(CloseReason::ServerShuttingDown)))
    );
}

#[tokio::test(start_paused = true)]
async fn a_recheck_comes_before_all_else_and_once() {
    let outbox = Outbox::new(LIMITS);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outbox.push(message(10)));
    outbox.request_recheck();
    outbox.request_recheck();
    assert_eq!(take(&outbox), Poll::Ready(Err(Interrupt::Recheck)));
    assert_eq!(take(&outbox), Poll::Ready(Ok(10)));
    assert!(outbox.poll_interrupt(&mut cx).is_pending());
    outbox.request_recheck();
    outbox.close(CloseReason::CertificateRevoked);
    assert_eq!(
        outbox.poll_interrupt(&mut cx),
        Poll::Ready(Interrupt::Recheck)
    );
    assert_eq!(
        outbox.poll_interrupt(&mut cx),
        Poll::Ready(Interrupt::Closed(CloseReason::CertificateRevoked))
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_lost_the_right_to_it_forfeits_what_is_queued() {
    let outbox = Outbox::new(LIMITS);
    assert!(outbox.push(message(10)));
    let reason = CloseReason::PermissionWithdrawn;
    outbox.close(reason);
    assert_eq!(take(&outbox), Poll::Ready(Err(Interrupt::Closed(reason))));
}

#[tokio::test(start_paused = true)]
async fn a_deferred_answer_keeps_its_place_and_is_counted_as_what_it_came_to() {
    let outbox = Outbox::new(LIMITS);
    assert!(outbox.push(message(10)));
    assert!(outbox.push_deferred(30, || frame(60)));
    assert!(outbox.push(message(20)));
    let mut frames = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outbox.poll_take(&mut cx, &mut frames).is_ready());
    assert!(outbox.poll_take(&mut cx, &mut frames).is_ready());
    assert_eq!(
        frames.iter().map(Frame::len).collect::<Vec<_>>(),
        [10, 60, 20]
    );
    assert!(outbox.push(message(10)), "90 bytes, and ten fit");
    assert!(!outbox.push(message(1)), "the hard limit");
}

#[tokio::test(start_paused = true)]
async fn deferred_answers_are_encoded_one_at_a_time() {
    let outbox = Outbox::new(LIMITS);
    for bytes in [10, 20] {
        assert!(outbox.push_deferred(bytes, move || frame(bytes)));
    }
    assert!(outbox.push(message(5)));
    assert_eq!(take(&outbox), Poll::Ready(Ok(10)));
    assert_eq!(take(&outbox), Poll::Ready(Ok(20)));
    assert_eq!(take(&outbox), Poll::Ready(Ok(5)));
    assert_eq!(take(&outbox), Poll::Pending);
}

#[tokio::test(start_paused = true)]
async fn wakes_the_task_that_waits() {
    let outbox = std::sync::Arc::new(Outbox::new(LIMITS));
    let waiting = tokio_util::task::TaskTracker::new().spawn({
        let outbox = outbox.clone();
        async move {
            let mut frames = Vec::new();
            poll_fn(|cx| outbox.poll_take(cx, &mut frames))
                .await
                .map(|()| frames.len())
        }
    });
    tokio::task::yield_now().await;
    assert!(outbox.push(message(1)));
    assert_eq!(waiting.await.unwrap(), Ok(1));
}
