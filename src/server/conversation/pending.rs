//! Answers that come later, and how a client leaves while some are outstanding.
//!
//! What order they have is told in [`Answers`](crate::broker::Answers).

use std::{
    future::poll_fn,
    ops::ControlFlow,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Conversation,
    end::ConnectionEnd,
    stage::{Leaving, Stage},
};
use crate::broker::{FailedRequest, PendingAnswer};

/// How long a client that has said its last line waits for the answers outstanding. A script that
/// writes all it has to say and closes its side still reads them; a client that is gone is
/// forgotten soon.
const LEAVING_TIME_MAX: Duration = Duration::from_secs(5);

impl Conversation {
    /// Whether the next line may be handled, or has to wait for an answer.
    pub(in crate::server) fn takes_lines(&self) -> bool {
        match &self.stage {
            Stage::Authenticated(session) => {
                session.answers().takes_requests() && self.leaving.is_none()
            }
            Stage::Authenticating(_) => false,
            Stage::Admitted(_) | Stage::Broken => self.leaving.is_none(),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        match &self.stage {
            Stage::Authenticated(session) => session.answers().is_waiting(),
            Stage::Authenticating(_) => true,
            Stage::Admitted(_) | Stage::Broken => false,
        }
    }

    /// The client has said its last line. Ends the conversation once every answer before has come.
    pub(in crate::server) fn leave(&mut self, end: ConnectionEnd) -> ControlFlow<ConnectionEnd> {
        if !self.is_waiting() {
            return ControlFlow::Break(end);
        }
        self.leaving = Some(Leaving {
            end,
            until: Instant::now() + LEAVING_TIME_MAX,
        });
        ControlFlow::Continue(())
    }

    /// Until when a client that has said its last line waits for answers; `None` for all others.
    pub(in crate::server) fn leaves_at(&self) -> Option<Instant> {
        self.leaving.as_ref().map(|leaving| leaving.until)
    }

    /// Waits until an answer that was outstanding has been queued. Never completes while none is.
    /// Can be cancelled at any point; to be polled after the client's outbox was written from.
    pub(in crate::server) async fn answered(&mut self) -> ControlFlow<ConnectionEnd> {
        poll_fn(|cx| self.poll_answered(cx)).await
    }

    fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<ControlFlow<ConnectionEnd>> {
        let answered = ready!(match &mut self.stage {
            Stage::Authenticated(session) => session.answers_mut().poll_next(cx),
            _ => self.poll_authentication(cx),
        });
        let flow = match answered {
            Ok(()) => ControlFlow::Continue(()),
            Err(failed) => self.answer_failed(failed),
        };
        Poll::Ready(match flow {
            ControlFlow::Continue(()) if !self.is_waiting() => self.end_leaving(),
            flow => flow,
        })
    }

    fn answer_failed(&mut self, failed: FailedRequest) -> ControlFlow<ConnectionEnd> {
        let FailedRequest {
            error,
            event,
            reference,
        } = failed;
        self.begin_lines();
        let error = self.request_failed(error, event, reference.map(Into::into));
        self.reject_now(error)
    }

    /// How the conversation ends, if its client has said its last line. Whatever is outstanding is
    /// waited for no longer.
    pub(in crate::server) fn end_leaving(&mut self) -> ControlFlow<ConnectionEnd> {
        match self.leaving.take() {
            Some(leaving) => ControlFlow::Break(leaving.end),
            None => ControlFlow::Continue(()),
        }
    }

    /// Takes the place of a line's answer among the others.
    pub(super) fn await_answer(&mut self, answer: PendingAnswer) {
        if let Stage::Authenticated(session) = &mut self.stage {
            session.answers_mut().push_pending(answer);
        }
    }
}
