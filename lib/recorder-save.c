/* recorder-save.c — savepoints of a session: the base with the start scan, one at each model call, one when asked, one at the end. */
#include "recorder-parts.h"
#include "files-parts.h"
#include "leaves.h"
#include "paths.h"
#include "preimage.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

enum { MEMORY = 64 << 20 };

static bool has_secret(void *ctx, const char *path, const char *p, size_t n)
{
	struct vcr_recorder *r = ctx;
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	unsigned count = 0;
	return vcr_redact(r->redact, p, n, &clean, &count) || count; /* rather sealed than not */
}

static bool leave_out(void *ctx, const char *path, bool directory)
{
	struct vcr_recorder *r = ctx;
	return (r->files && vcr_files_left_out(r->files, path, directory)) || (r->leaves && vcr_leaves_out(r->leaves, path, directory));
}

static void open_store(struct vcr_recorder *r)
{
	VCR_AUTO_BUF state = VCR_BUF_INIT;
	struct vcr_store_options o = { .workspace = r->workspace, .vcr_dir = r->vcr_dir, .session = r->session_id, .has_secret = has_secret, .leave_out = leave_out, .ctx = r };
	if (vcr_paths_state_dir(r->workspace, &state, &r->save_error))
		return;
	o.state_dir = state.data;
	if (r->leave_ignored && !r->leaves && vcr_leaves_new(&r->leaves, r->workspace, NULL, true, &r->save_error))
		return;
	if (vcr_store_open(&r->store, &o, &r->save_error))
		r->store = NULL;
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- What programs keep (../shim/keep.c) ---- */

/* The store is open while something is done with it only: a collector may have few descriptors. */
static struct vcr_preimages *preimages(const struct vcr_recorder *r, bool make)
{
	VCR_AUTO_BUF state = VCR_BUF_INIT;
	struct vcr_preimages *p;
	if (vcr_paths_state_dir(r->workspace, &state, NULL) || vcr_preimages_open(&p, r->workspace, state.data, r->vcr_dir, make, NULL))
		return NULL; /* it is said when something cannot come back */
	__atomic_add_fetch(&r->spool->keep.small_room, vcr_preimages_adopt(p), __ATOMIC_RELAXED);
	return p;
}

/* Copies of small files are made in memory, and come to the disk when half of the room is taken, or at the end. */
static void open_memory(struct vcr_recorder *r, struct vcr_preimages *p)
{
	struct vcr_keep_block *k = &r->spool->keep;
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	struct statvfs fs;
	if (vcr_paths_runtime_dir(&dir, NULL))
		return;
	vcr_buf_printf(&dir, "/%s.keep", r->session_id);
	if (dir.len >= sizeof k->small || vcr_preimages_memory(p, dir.data) || statvfs(dir.data, &fs))
		return;
	uint64_t quarter = fs.f_bavail / 4 * fs.f_frsize;
	r->small_room = quarter < MEMORY ? (int64_t)quarter : MEMORY;
	__atomic_store_n(&k->small_room, r->small_room, __ATOMIC_RELAXED);
	memcpy(k->small, dir.data, dir.len + 1);
}

/* Another session, or a rollback, may have taken some to the disk and said it to nobody: where nothing is left to take the room is what the directory says. */
void vcr_recorder_lighten(struct vcr_recorder *r)
{
	VCR_AUTO_BUF state = VCR_BUF_INIT;
	int64_t *room = &r->spool->keep.small_room, left;
	struct vcr_preimages *p;
	if (!r->keeps || !r->small_room || __atomic_load_n(room, __ATOMIC_RELAXED) >= r->small_room / 2)
		return;
	if (vcr_paths_state_dir(r->workspace, &state, NULL) || vcr_preimages_open(&p, r->workspace, state.data, r->vcr_dir, false, NULL))
		return;
	int64_t taken = vcr_preimages_lighten(p, &left);
	if (taken)
		__atomic_add_fetch(room, taken, __ATOMIC_RELAXED);
	else
		__atomic_store_n(room, r->small_room - left, __ATOMIC_RELAXED);
	vcr_preimages_free(p);
}

static void open_preimages(struct vcr_recorder *r)
{
	struct vcr_keep_block *k = &r->spool->keep;
	struct vcr_preimages *p = preimages(r, true);
	if (!p)
		return;
	if (snprintf(k->dir, sizeof k->dir, "%s", vcr_preimages_path(p)) >= (int)sizeof k->dir)
		*k->dir = 0;
	int64_t room = vcr_preimages_room(p, VCR_PREIMAGE_ROOM);
	struct statvfs fs;
	if (!statvfs(vcr_preimages_path(p), &fs) && (uint64_t)room / fs.f_frsize > fs.f_bavail / 2)
		room = (int64_t)(fs.f_bavail / 2 * fs.f_frsize); /* who deletes to have space has it */
	__atomic_store_n(&k->room, r->quota > 0 && r->quota < room ? r->quota : room, __ATOMIC_RELAXED);
	open_memory(r, p);
	vcr_preimages_free(p);
	r->keeps = true;
}

/* From here on what is as it was at since_ns is kept before it goes. */
static void say_unkept(struct vcr_recorder *r, int64_t since_ns)
{
	struct vcr_keep_block *k = &r->spool->keep;
	struct vcr_store_unkept u;
	if (!r->keeps || !r->store)
		return;
	vcr_store_unkept(r->store, &u);
	bool all = u.small;
	for (uint32_t at = k->heavy_bytes; r->nheavy_said < u.nheavy; r->nheavy_said++) {
		size_t n = strlen(u.heavy[r->nheavy_said]) + 1;
		if (at > sizeof k->heavy || n > sizeof k->heavy - at) {
			all = true;
			break;
		}
		memcpy(k->heavy + at, u.heavy[r->nheavy_said], n);
		__atomic_store_n(&k->heavy_bytes, at += (uint32_t)n, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&k->larger, u.larger, __ATOMIC_RELEASE);
	__atomic_store_n(&k->all, all, __ATOMIC_RELEASE);
	__atomic_store_n(&k->since_ns, since_ns, __ATOMIC_RELEASE);
}

static void close_preimages(struct vcr_recorder *r)
{
	if (!r->keeps)
		return;
	__atomic_store_n(&r->spool->keep.since_ns, 0, __ATOMIC_RELEASE);
	struct vcr_preimages *p = preimages(r, false);
	if (p)
		vcr_preimages_memory_end(p);
	vcr_preimages_free(p);
	r->keeps = false;
}

/* ---- Savepoints ---- */

void vcr_recorder_save_base(struct vcr_recorder *r)
{
	struct vcr_store_note note = { .kind = "base", .as_of_ns = now() };
	struct vcr_savepoint p;
	open_store(r);
	if (!r->store || vcr_store_base(r->store, &note, &p, &r->save_error))
		vcr_recorder_save_close(r);
	if (!r->store)
		return;
	open_preimages(r);
	say_unkept(r, note.as_of_ns);
	r->savepoints = p.n + 1;
	r->unstable = (p.flags & VCR_SAVEPOINT_UNSTABLE) != 0;
	if (r->files)
		vcr_files_saved(r->files);
	vcr_recorder_tests_savepoint(r, &p);
}

/* The last state. After a collector's death nobody knows what is dirty: everything is looked at again. */
void vcr_recorder_save_end(struct vcr_recorder *r)
{
	static const struct vcr_store_note note = { .kind = "end", .message = "what a recording that was cut left" };
	struct vcr_savepoint p;
	if (!r->session)
		return;
	if (!r->salvage) {
		if (!vcr_recorder_save(r, "end", NULL, NULL, 0, &p))
			vcr_store_pack(r->store, &r->save_error);
		return;
	}
	open_store(r);
	if (r->store && !vcr_store_get(r->store, r->session_id, -1, &p, NULL) && strcmp(p.kind, "end") && !vcr_store_base(r->store, &note, &p, &r->save_error))
		r->savepoints = p.n + 1;
}

void vcr_recorder_dirty(struct vcr_recorder *r, const char *path, bool deep)
{
	if (!r->store || !path || !*path)
		return;
	if (r->ndirty == r->cap_dirty) {
		size_t cap = r->cap_dirty ? r->cap_dirty * 2 : 64;
		struct vcr_store_dirty *dirty = reallocarray(r->dirty, cap, sizeof *dirty);
		if (!dirty)
			return;
		r->dirty = dirty;
		r->cap_dirty = cap;
	}
	char *copy = strdup(path);
	if (copy)
		r->dirty[r->ndirty++] = (struct vcr_store_dirty){ copy, deep };
}

void vcr_recorder_aged(struct vcr_recorder *r, const char *path, int64_t mtime_ns)
{
	if (!r->store)
		return;
	vcr_times_note(r->store, &r->times, r->savepoints - 1, path, mtime_ns);
	if (r->times.len > VCR_TIMES_LINES)
		vcr_recorder_keep_times(r);
}

/* They are told of when somebody asks for them and they are not there. */
void vcr_recorder_keep_times(struct vcr_recorder *r)
{
	if (r->store)
		vcr_times_keep(r->store, &r->times, NULL);
}

static void forget_dirty(struct vcr_recorder *r)
{
	for (size_t i = 0; i < r->ndirty; i++)
		free((char *)r->dirty[i].path);
	r->ndirty = 0;
}

int vcr_recorder_save(struct vcr_recorder *r, const char *kind, const char *frame_id, const char *message, int64_t as_of_ns, struct vcr_savepoint *out)
{
	const struct vcr_store_note note = { .kind = kind, .frame_id = frame_id, .message = message, .as_of_ns = as_of_ns };
	if (!r->store)
		return VCR_ENOTFOUND;
	vcr_recorder_keep_times(r);
	say_unkept(r, now());
	int err = vcr_store_take(r->store, r->dirty, r->ndirty, &note, out, &r->save_error);
	if (err)
		return err;
	say_unkept(r, r->spool->keep.since_ns);
	forget_dirty(r);
	if (out->n + 1 > r->savepoints)
		r->unstable += (out->flags & VCR_SAVEPOINT_UNSTABLE) != 0;
	if (out->n + 1 > r->savepoints && r->files)
		vcr_files_saved(r->files);
	r->savepoints = out->n + 1;
	vcr_recorder_tests_savepoint(r, out);
	return 0;
}

void vcr_recorder_save_close(struct vcr_recorder *r)
{
	vcr_recorder_keep_times(r);
	close_preimages(r);
	forget_dirty(r);
	free(r->dirty);
	r->dirty = NULL;
	vcr_store_free(r->store);
	r->store = NULL;
	vcr_leaves_free(r->leaves);
	r->leaves = NULL;
}

void vcr_recorder_write_savepoints(const struct vcr_recorder *r, struct vcr_jw *w)
{
	vcr_jw_key(w, "savepoints");
	vcr_jw_object(w);
	vcr_jw_key(w, "taken");
	vcr_jw_int(w, r->savepoints);
	vcr_jw_key(w, "unstable");
	vcr_jw_int(w, r->unstable);
	vcr_jw_key(w, "preimages");
	vcr_jw_int(w, (int64_t)__atomic_load_n(&r->spool->keep.kept, __ATOMIC_RELAXED));
	vcr_jw_key(w, "not_kept");
	vcr_jw_int(w, (int64_t)__atomic_load_n(&r->spool->keep.refused, __ATOMIC_RELAXED));
	vcr_jw_key(w, "error");
	vcr_jw_str(w, r->save_error.code ? r->save_error.what : NULL);
	vcr_jw_object_end(w);
}
