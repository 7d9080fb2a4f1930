/* recorder-process.c — the processes of a session: by number while they live, and after that until their files and how they ended are written. */
#include "recorder-parts.h"
#include <stdlib.h>

struct process *vcr_recorder_process(struct vcr_recorder *r, int pid, bool make)
{
	struct process **slot = &r->process[(unsigned)pid % BUCKETS];
	for (struct process *p = *slot; p; p = p->next)
		if (p->pid == pid)
			return p;
	struct process *p = make ? calloc(1, sizeof *p) : NULL;
	if (!p)
		return NULL;
	p->pid = pid;
	p->serial = ++r->nserial;
	p->next = *slot;
	*slot = p;
	if (r->npid < MAX_PENDING)
		r->pid[r->npid++] = pid;
	return p;
}

unsigned vcr_recorder_lived(void *recorder, int pid, int64_t ns)
{
	const struct process *p = vcr_recorder_process(recorder, pid, false);
	return p && (!p->ended_ns || ns <= (int64_t)p->ended_ns) ? p->serial : 0;
}

static void take_out(struct vcr_recorder *r, const struct process *p)
{
	for (struct process **at = &r->process[(unsigned)p->pid % BUCKETS]; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			return;
		}
}

void vcr_recorder_forget_ended(struct vcr_recorder *r)
{
	for (struct process **at = &r->ended, *p; (p = *at);) {
		if (p->run.path) {
			at = &p->next_ended;
			continue;
		}
		vcr_recorder_cover_dropped(r, p->pid);
		*at = p->next_ended;
		r->nended--;
		take_out(r, p);
		free(p->program);
		free(p->before);
		free(p->tool_call);
		free(p);
	}
}

bool vcr_recorder_is_waited(struct vcr_recorder *r, int pid)
{
	const struct process *p = vcr_recorder_process(r, pid, false);
	return p && p->waited;
}

void vcr_recorder_forget_namesake(struct vcr_recorder *r, int pid)
{
	const struct process *p = vcr_recorder_process(r, pid, false);
	if (!p || !p->ended_ns)
		return;
	vcr_recorder_unwaited(r, pid);
	vcr_recorder_sweep(r, (int64_t)p->ended_ns);
}

/* An exec that failed would have said so. */
void vcr_recorder_unwaited(struct vcr_recorder *r, int pid)
{
	struct process *p = vcr_recorder_process(r, pid, false);
	if (!p || !p->ended_ns || !p->run.path)
		return;
	p->run.confirmed = true;
	vcr_recorder_exit(r, pid, NULL, p->ended_ns);
}
