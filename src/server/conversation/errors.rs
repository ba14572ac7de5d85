//! Errors that a client makes: what it is answered, and how many of them it may make.

use std::{borrow::Cow, ops::ControlFlow};

use tokio::time::Instant;
use tracing::debug;

use super::{ConnectionEnd, Conversation};
use crate::{
    broker::RequestError,
    protocol::{CloseReason, Code, CodedError, EventName, ServerEvent, client_event::LineError},
};

/// How often a client may ask for what its state does not allow, before the connection closes.
const STATE_ERRORS_MAX: u8 = 3;

/// How often a line may be too long, before the connection closes.
const LONG_LINES_MAX: u8 = 2;

impl Conversation {
    /// The client has ended the stream in order, within a line: the line is not carried out, and the
    /// client is told so.
    pub(in crate::server) fn reject_unfinished_line(&mut self) {
        let reason = "the stream ended before the line did: it needs a line feed at its end";
        self.begin_lines();
        // Whether it was an error too many changes nothing any more.
        let _ = self.reject(CodedError::new(Code::MalformedEvent, reason).into());
    }

    pub(super) fn reject_long_line(&mut self) -> ControlFlow<ConnectionEnd> {
        let reason = format!("a line may have {} bytes", self.line_bytes_max());
        self.reject(CodedError::new(Code::LineTooLong, reason).into())
    }

    /// What a client is answered to a request that was not carried out.
    pub(super) fn request_failed<'r>(
        &self,
        error: RequestError,
        event: EventName,
        reference: Option<Cow<'r, str>>,
    ) -> LineError<'r> {
        if let RequestError::Denied(denial) = &error {
            self.audit.denied(self.who(), denial);
        }
        LineError {
            cause: error.into(),
            event: Some(event.as_str().into()),
            reference,
        }
    }

    /// Answers with an error, behind the answers that are outstanding.
    pub(super) fn reject(&mut self, error: LineError<'_>) -> ControlFlow<ConnectionEnd> {
        let code = error.cause.code;
        self.log_error(&error);
        self.answer(&ServerEvent::Error(error.into()));
        self.count_error(code)
    }

    /// Answers with an error, as that of the request whose turn it is.
    pub(super) fn reject_now(&mut self, error: LineError<'_>) -> ControlFlow<ConnectionEnd> {
        let code = error.cause.code;
        self.log_error(&error);
        self.tell(&ServerEvent::Error(error.into()));
        self.count_error(code)
    }

    fn log_error(&self, LineError { cause, .. }: &LineError<'_>) {
        debug!(
            client_id = %self.client_id, identity = self.identity.as_str(), address = %self.address,
            code = %cause.code, reason = &*cause.reason, "refused a line"
        );
    }

    fn count_error(&mut self, code: Code) -> ControlFlow<ConnectionEnd> {
        // A certificate without its token is not to use up what is the identity's. Before
        // authentication the answers of each connection are bounded, and so are its errors.
        if self.is_authenticated() && self.rate_limiter.lock().count_error(Instant::now()) {
            return ControlFlow::Break(CloseReason::TooManyErrors.into());
        }
        let (count, limit) = match code {
            Code::NotAuthenticated => (&mut self.not_authenticated, STATE_ERRORS_MAX),
            Code::AlreadyAuthenticated => (&mut self.already_authenticated, STATE_ERRORS_MAX),
            Code::LineTooLong => (&mut self.long_lines, LONG_LINES_MAX),
            _ => return ControlFlow::Continue(()),
        };
        *count += 1;
        if *count < limit {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(CloseReason::TooManyErrors.into())
    }
}
