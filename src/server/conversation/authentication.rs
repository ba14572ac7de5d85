//! Authentication: a token is checked, and the registry makes a session of the admission.

use std::{
    borrow::Cow,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use super::{
    Conversation, Handled,
    end::ConnectionEnd,
    stage::{Authenticating, Stage},
};
use crate::{
    broker::{FailedRequest, RequestError},
    protocol::{
        EventName, ServerEvent, Timestamp,
        client_event::{RequestAuthentication, Token},
        server_event::{AuthenticationAccepted, encode},
    },
};

impl Conversation {
    /// Asks the registry for a session, if the client's credentials are in order.
    pub(super) fn authenticate(
        &mut self,
        request: RequestAuthentication<'_>,
    ) -> Result<Handled, RequestError> {
        let RequestAuthentication {
            token,
            presence,
            reference,
        } = request;
        let token = token.as_ref().map(Token::secret);
        let now = SystemTime::now();
        let scope = match self.credentials.verify(token, &self.identity, now) {
            Ok(scope) => scope,
            Err(fault) => {
                self.audit.authentication_refused(self.who(), &fault);
                return Ok(Handled::End(ConnectionEnd::NotAuthenticated {
                    fault: fault.into(),
                    reference: reference.map(Cow::into_owned),
                }));
            }
        };
        let Stage::Admitted(admission) = mem::replace(&mut self.stage, Stage::Broken) else {
            return Err(RequestError::lost_client().into());
        };
        let accepted = AuthenticationAccepted {
            client_id: self.client_id,
            identity: self.identity.as_str().into(),
            reference: reference.as_deref().map(Into::into),
        };
        let welcome = encode(
            &ServerEvent::AuthenticationAccepted(accepted),
            &self.server_id,
            Timestamp::now(),
        );
        self.stage = Stage::Authenticating(Authenticating {
            authentication: admission.authenticate(presence, scope, welcome),
            reference: reference.map(Cow::into_owned),
        });
        Ok(Handled::Done)
    }

    /// Waits for the registry's answer.
    pub(super) fn poll_authentication(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), FailedRequest>> {
        let Stage::Authenticating(authenticating) = &mut self.stage else {
            return Poll::Pending;
        };
        let session = ready!(Pin::new(&mut authenticating.authentication).poll(cx));
        let reference = authenticating.reference.take();
        Poll::Ready(match session {
            Ok(session) => {
                self.stage = Stage::Authenticated(session);
                self.take_limits();
                self.audit.authenticated(self.who());
                Ok(())
            }
            Err(gone) => {
                self.stage = Stage::Broken;
                Err(FailedRequest {
                    error: gone.into(),
                    event: EventName::RequestAuthentication,
                    reference,
                })
            }
        })
    }
}
