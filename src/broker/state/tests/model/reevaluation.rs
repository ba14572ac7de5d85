//! What other rules take from the clients that are here.

use super::*;

impl Model {
    /// Those who are here are held to other rules.
    pub(super) fn reevaluate(&mut self, rules: Rules) {
        let (reply, answer) = oneshot::channel();
        let access = rules.parse();
        self.commands.push(Command::Reevaluate { access, reply });
        self.rules = rules;
        self.routes_change = true;
        // They say who subscribes; who may have it is for the rules in force to say.
        self.kept.clear();
        let mut lost = Vec::new();
        let ids: Vec<ClientId> = self.members.keys().copied().collect();
        for client_id in &ids {
            self.reevaluate_one(*client_id, &mut lost);
        }
        for member in self.members.values_mut() {
            member.recheck();
        }
        self.expected
            .push(Expected::Reevaluated(answer, ids.len(), lost));
    }

    fn reevaluate_one(&mut self, client_id: ClientId, lost: &mut Vec<Lost>) {
        let rules = self.rules;
        let member = self.members.get_mut(&client_id).unwrap();
        let who = member.identity.clone();
        if !rules.admit(&who) {
            lost.push((client_id, None));
            member.close(CloseReason::PermissionWithdrawn);
            return;
        }
        let Some(session) = &mut member.session else {
            return;
        };
        let is_lost = |text: &&str| !rules.allow(&who, text);
        let ended: Vec<_> = session
            .filters
            .extract_if(.., |text| is_lost(&&**text))
            .collect();
        let was_shown = std::mem::replace(&mut session.shown, rules.show(&who));
        let is_shown = session.shown;
        for text in ended {
            lost.push((client_id, Some(filter(text))));
            member.tell(Heard::SubscriptionClosed(text.to_owned()));
        }
        match (was_shown, is_shown) {
            (false, true) => self.announce(client_id, &Heard::Came(client_id, who)),
            (true, false) => {
                let word = "permission_withdrawn".to_owned();
                self.announce(client_id, &Heard::Went(client_id, who, word));
            }
            _ => {}
        }
    }
}
