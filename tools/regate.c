#include "regate.h"
#include "control.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OPTIONS = 6 };

void vcr_regate_init(struct vcr_regate *r, const char *spool, struct vcr_spool_header *h)
{
	r->spool = spool;
	r->h = h;
	r->fd = -1;
}

void vcr_regate_word(struct vcr_regate *r, const char *word)
{
	if (r->nword < VCR_REGATE_WORDS)
		r->word[r->nword++] = word;
}

void vcr_regate_inherit(struct vcr_regate *r, int first)
{
	r->sealed = true;
	for (int i = 0; i < VCR_REGATE_LISTENERS; i++)
		r->listener[i] = fcntl(first + i, F_SETFD, FD_CLOEXEC) ? -1 : first + i;
}

/* Who connects from now on is refused, and does not wait for somebody who will not come. */
static void close_listeners(struct vcr_regate *r)
{
	for (int i = 0; r->sealed && i < VCR_REGATE_LISTENERS; i++)
		if (r->listener[i] >= 0)
			close(r->listener[i]);
	r->sealed = false;
}

int vcr_regate_fd(const struct vcr_regate *r)
{
	return r->fd;
}

static void watch(struct vcr_regate *r, int pid)
{
	if (r->fd >= 0)
		close(r->fd);
	r->pid = pid;
	r->fd = (int)syscall(SYS_pidfd_open, pid, 0);
}

/* A zombie is dead: its parent may be waiting for something else. */
static bool is_dead(const struct vcr_regate *r)
{
	struct pollfd p = { r->fd, POLLIN, 0 };
	return r->fd >= 0 ? poll(&p, 1, 0) > 0 : kill(r->pid, 0) && errno == ESRCH;
}

static void start(struct vcr_regate *r)
{
	VCR_AUTO_BUF program = VCR_BUF_INIT;
	const char *argv[VCR_REGATE_WORDS + OPTIONS + 1];
	uint32_t *state = &r->h->gate.state, was = __atomic_load_n(state, __ATOMIC_ACQUIRE);
	int n = 0, child = 0;
	if ((was != VCR_LEAD_READY && was != VCR_LEAD_ENDED) || !__atomic_compare_exchange_n(state, &was, VCR_LEAD_STARTING, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	r->started++;
	int err = vcr_control_program_path("vcr-gate", &program, NULL);
	argv[n++] = program.data;
	argv[n++] = "--spool";
	argv[n++] = r->spool;
	if (r->h->gate.flags & VCR_LEAD_UNTAPPED)
		argv[n++] = "--untapped";
	if (r->h->gate.flags & VCR_LEAD_REPLAY)
		argv[n++] = "--fenced";
	if (r->sealed)
		argv[n++] = "--inherit";
	for (int i = 0; i < r->nword; i++)
		argv[n++] = r->word[i];
	argv[n] = NULL;
	if (err || vcr_control_spawn_with((char *const *)argv, -1, r->listener, r->sealed ? VCR_REGATE_LISTENERS : 0, &child, NULL))
		__atomic_store_n(state, VCR_LEAD_ENDED, __ATOMIC_RELEASE);
	else
		r->child = child;
}

static bool is_needed(const struct vcr_regate *r)
{
	return r->sealed || __atomic_load_n(&r->h->gate.lent, __ATOMIC_RELAXED) || r->h->sentinel >= VCR_SENTINEL_WARN;
}

void vcr_regate_look(struct vcr_regate *r)
{
	struct vcr_lead_block *g = &r->h->gate;
	uint32_t state = __atomic_load_n(&g->state, __ATOMIC_ACQUIRE);
	if (r->child && waitpid(r->child, NULL, WNOHANG) == r->child) {
		uint32_t starting = VCR_LEAD_STARTING; /* it could not begin */
		__atomic_compare_exchange_n(&g->state, &starting, VCR_LEAD_ENDED, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
		r->child = 0;
	}
	if (!is_needed(r) || r->h->flags & VCR_SPOOL_LEAD_ONLY || (state != VCR_LEAD_READY && state != VCR_LEAD_ENDED) || g->pid <= 0)
		return;
	if (r->pid != g->pid)
		watch(r, g->pid);
	if (!is_dead(r))
		return;
	if (r->started < VCR_REGATES)
		start(r);
	else
		close_listeners(r);
}

void vcr_regate_release(struct vcr_regate *r)
{
	close_listeners(r);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}
