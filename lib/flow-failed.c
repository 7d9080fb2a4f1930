/* flow-failed.c — calls that did not come about because their connection did not: a model's host that refused, did not answer, cannot be reached.
 *
 * A name has several addresses, and one that fails is no failure when the next one answers. So a failure waits a moment: others of the same
 * process and host become one with it, a connection to that host takes it back, and what is left is told as a call without request. */
#include "flow-parts.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define WAIT_NS 1500000000ull

static const char *word(int reason)
{
	switch (reason) {
	case ECONNREFUSED: return "refused";
	case ETIMEDOUT: return "timeout";
	case EHOSTUNREACH: case ENETUNREACH: case EHOSTDOWN: case ENETDOWN: return "unreachable";
	case ECONNRESET: return "reset";
	default: return NULL;
	}
}

static void tell(struct vcr_flow *f, const struct failed *x)
{
	struct vcr_call call = { .conn = x->conn, .pid = x->pid, .api = VCR_API_GENERIC, .host = x->host, .method = "", .target = "", .reason = "", .tls = x->tls,
		.minor = 1, .req_body = "", .res_body = "", .start_ns = x->start_ns, .end_ns = x->end_ns, .failure = word(x->reason) };
	if (f->ev.call)
		f->ev.call(f->ctx, &call);
}

static void drop(struct vcr_flow *f, size_t i)
{
	f->failed[i] = f->failed[--f->nfailed];
}

void vcr_failed_settle(struct vcr_flow *f, int pid, uint64_t now_ns)
{
	for (size_t i = f->nfailed; i-- > 0;)
		if (pid < 0 || (pid && f->failed[i].pid == pid) || f->failed[i].end_ns + WAIT_NS < now_ns) {
			struct failed x = f->failed[i];
			drop(f, i);
			tell(f, &x);
		}
}

void vcr_failed_reached(struct vcr_flow *f, int pid, const char *host)
{
	for (size_t i = f->nfailed; i-- > 0;)
		if (f->failed[i].pid == pid && !strcmp(f->failed[i].host, host))
			drop(f, i);
}

void vcr_failed_add(struct vcr_flow *f, const struct conn *c, const char *host, int reason, uint64_t now_ns)
{
	if (!word(reason) || !vcr_api_is_model_host(host, (const char *const *)f->hosts))
		return;
	for (size_t i = 0; i < f->nfailed; i++)
		if (f->failed[i].pid == c->pid && !strcmp(f->failed[i].host, host) && now_ns - f->failed[i].end_ns < WAIT_NS / 50) {
			f->failed[i].end_ns = now_ns;
			return;
		}
	if (f->nfailed == FAILED_MAX) {
		struct failed x = f->failed[0];
		drop(f, 0);
		tell(f, &x);
	}
	struct failed *x = &f->failed[f->nfailed++];
	*x = (struct failed){ .conn = c->number, .pid = c->pid, .reason = reason, .tls = c->tls, .start_ns = c->now_ns, .end_ns = now_ns };
	snprintf(x->host, sizeof x->host, "%s", host);
}
