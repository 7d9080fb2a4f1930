#include "fence.h"
#include "paths.h"
#include "preload.h"
#include "spool.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int map_header(struct vcr_fence *f, struct vcr_error *e)
{
	int fd = open(f->spool, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *f->h, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int sys = errno;
	if (fd >= 0)
		close(fd);
	if (map == MAP_FAILED)
		return vcr_error_sys(e, sys, "%s", f->spool);
	f->h = map;
	return 0;
}

int vcr_fence_make(struct vcr_fence *f, const char *vcr_dir, const char *session, const struct vcr_determ_terms *deterministic, struct vcr_error *e)
{
	VCR_AUTO_BUF workspace = VCR_BUF_INIT;
	char cwd[PATH_MAX], own[40];
	*f = (struct vcr_fence){ .preload = VCR_BUF_INIT };
	const char *why = vcr_preload_list(&f->preload, deterministic != NULL);
	if (why)
		return vcr_error_set(e, VCR_ENOTFOUND, "%s", why);
	if (vcr_paths_workspace(".", &workspace, NULL))
		vcr_buf_puts(&workspace, "/");
	snprintf(own, sizeof own, "replay-%d", (int)getpid());
	struct vcr_spool_make make = { .session_id = session ? session : own, .start_dir = getcwd(cwd, sizeof cwd), .workspace = workspace.data, .vcr_dir = vcr_dir,
		.flags = VCR_SPOOL_BY_RECORD | (session ? 0 : VCR_SPOOL_LEAD_ONLY) };
	int err = vcr_spool_create(&make, &f->spool, e);
	if (err || (err = map_header(f, e)) || (deterministic && (err = vcr_determ_make(f->spool, deterministic, e))))
		return err;
	f->h->lane = session ? VCR_LANE_GATE : VCR_LANE_NOT_KNOWN;
	f->h->base_ready = !session; /* nobody scans */
	return 0;
}

int vcr_fence_publish(struct vcr_fence *f, const struct vcr_lead_options *o, const struct vcr_pids *root, struct vcr_error *e)
{
	vcr_pids_publish(f->h, root);
	return vcr_lead_publish(f->h, o, e);
}

uint64_t vcr_fence_refusals(struct vcr_fence *f, void (*fn)(void *ctx, const char *where, uint32_t kind), void (*lost)(void *ctx, const char *words), void *ctx)
{
	struct vcr_spool *s;
	struct vcr_spool_event ev;
	struct vcr_rec_refused r;
	uint64_t times = f->h ? f->h->gate.refused : 0;
	if (!f->spool || vcr_spool_attach(&s, f->spool, NULL))
		return times;
	while (vcr_spool_next(s, true, &ev) == 0)
		if (ev.type == VCR_REC_LOST) {
			lost(ctx, ev.payload);
		} else if (ev.type == VCR_REC_REFUSED && ev.size > sizeof r) {
			memcpy(&r, ev.payload, sizeof r);
			fn(ctx, vcr_spool_string(&ev, sizeof r, 0), r.kind);
		}
	vcr_spool_remove(s);
	vcr_spool_free(s);
	return times;
}

void vcr_fence_release(struct vcr_fence *f)
{
	bool recorded = f->h && !(f->h->flags & VCR_SPOOL_LEAD_ONLY) && f->h->collector;
	if (f->h) {
		vcr_lead_retract(f->h);
		munmap(f->h, sizeof *f->h);
	}
	if (f->spool && !recorded) { /* else it is the collector's */
		unlink(f->spool);
		vcr_determ_remove(f->spool);
	}
	free(f->spool);
	vcr_buf_release(&f->preload);
	*f = (struct vcr_fence){ .preload = VCR_BUF_INIT };
}
