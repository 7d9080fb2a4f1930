/* lead.h — the gate's side of what the shim leads: the block in the spool's header (../shim/spool-format.h).
 *
 * vcr_lead_publish tells the processes of a session where the gate is, which hosts are its business, and what they have to trust; from then on
 * their connections to these hosts come here, and vcr_lead_meant says of each where it was meant to go. vcr_lead_retract: there is no gate any
 * more. A gate that dies without it is noticed by its process id.
 *
 * The block is memory that every process of the session can write: what is read of it is copied, bounded and checked. */
#ifndef VCR_LEAD_H
#define VCR_LEAD_H
#include <stdbool.h>
#include <stdint.h>
#include "gate.h"
#include "spool-format.h"

struct vcr_lead_options {
	int port;                      /* the gate's, on 127.0.0.1 */
	bool v6;                       /* … and on ::1 */
	bool replay;                   /* nothing else may leave the machine; in a recording too if that is deterministic */
	bool untapped_only;            /* record: lead only programs that cannot be tapped */
	const char *token, *ca, *bundle, *extra; /* as in struct vcr_lead_block; bundle and extra may be NULL */
	const char *const *hosts;      /* NULL-terminated: names, *.suffix, patterns, addresses; with :port for that port alone */
};
/* This process will be the gate: who waits for one knows that it lives. */
void vcr_lead_announce(struct vcr_spool_header *h);
/* This process is the gate. VCR_EINVAL if a text is too long, VCR_ELIMIT if not all hosts fit (those before are led). */
int vcr_lead_publish(struct vcr_spool_header *h, const struct vcr_lead_options *o, struct vcr_error *e);
void vcr_lead_retract(struct vcr_spool_header *h);
/* A client has accepted the gate's certificate, or refused it: programs that are led to that HOST:PORT late (../shim/late.c) are so from here on, or not any
 * more. False: there are none. *news is set where that was not known. */
bool vcr_lead_judged(struct vcr_spool_header *h, const char *host, bool trusted, bool *news);
/* For vcr_gate_options.meant, with the header as its context. A word is taken once. */
enum vcr_gate_meant vcr_lead_meant(void *header, const struct sockaddr *peer, char host[VCR_GATE_HOST], int *pid);
/* For vcr_gate_options.spoke, likewise. */
void vcr_lead_spoke(void *header, int pid);

#endif
