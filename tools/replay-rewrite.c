/* replay-rewrite.c — --mode=rewrite: a run that succeeded takes the place of the recording, in one step; until then the recording is as it was. */
#include "../lib/golden.h"
#include "join.h"
#include "manifest.h"
#include "replace.h"
#include "replaying.h"
#include "words.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void now_iso(struct vcr_buf *out)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	vcr_words_iso(out, (int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
}

/* ---- A golden run ---- */

/* Its entry in the index, with what is another session's now; task, tags and identity stay. */
static int write_entry(const struct replay *r, const struct vcr_json *index, int old, struct vcr_buf *out)
{
	static const char *const renewed[] = { "session_id", "created_at", "frame_count", "total_tokens", "total_cost_usd", NULL };
	const struct vcr_reader_session *s = vcr_reader_session(r->live.reader);
	VCR_AUTO_BUF now = VCR_BUF_INIT;
	struct vcr_jw w;
	now_iso(&now);
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	for (int m = vcr_json_first(index, old); m >= 0; m = vcr_json_next(index, m)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		bool is_new = false;
		for (const char *const *k = renewed; *k; k++)
			is_new = is_new || vcr_json_is(index, m, *k);
		if (is_new || vcr_json_str(index, m, &key))
			continue;
		vcr_jw_key(&w, key.data);
		vcr_jw_value(&w, index, vcr_json_value(index, m));
	}
	vcr_jw_key(&w, "session_id");
	vcr_jw_str(&w, s->session_id);
	vcr_jw_key(&w, "created_at");
	vcr_jw_str(&w, now.data);
	vcr_jw_key(&w, "frame_count");
	vcr_jw_int(&w, vcr_reader_count(r->live.reader));
	vcr_jw_key(&w, "total_tokens");
	vcr_jw_int(&w, s->total_tokens);
	vcr_jw_key(&w, "total_cost_usd");
	vcr_jw_double(&w, s->total_cost_usd);
	vcr_jw_object_end(&w);
	return out->err;
}

static int rewrite_golden(struct replay *r, const char *fingerprint, const char *path, struct vcr_error *e)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, entry = VCR_BUF_INIT;
	VCR_AUTO_JSON index = VCR_JSON_INIT;
	int err = vcr_golden_index(r->vcr_dir.data, &text, &index, e);
	if (!err && write_entry(r, &index, vcr_json_get(&index, 0, fingerprint), &entry))
		err = vcr_error_set(e, entry.err, "%s", vcr_strerror(entry.err));
	return err ? err : vcr_golden_put(r->vcr_dir.data, fingerprint, path, entry.data, e);
}

/* ---- Any other session ---- */

/* What its directory's list says of it. */
static void list_again(const char *dir, const char *made, const char *id, const char *gone)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT, where = VCR_BUF_INIT, entry = VCR_BUF_INIT, now = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_jw w;
	int fd;
	vcr_buf_add(&where, made, (size_t)(strrchr(made, '/') - made));
	now_iso(&now);
	if (vcr_replace_lock(where.data, "manifest.json", &fd, NULL))
		return;
	int err = vcr_replace_read(fd, where.data, "manifest.json", &text, NULL);
	close(fd);
	if (err || vcr_json_parse(&j, text.data, text.len, 0, NULL))
		return;
	vcr_jw_init(&w, &entry);
	vcr_jw_value(&w, &j, vcr_json_path(&j, 0, "sessions[0]"));
	if (entry.len > 2)
		vcr_manifest_put(dir, id, entry.data, now.data, NULL);
	vcr_manifest_put(dir, gone, NULL, now.data, NULL);
}

static int rewrite_session(struct replay *r, const char *path, struct vcr_error *e)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT, made = VCR_BUF_INIT;
	const char *slash = strrchr(r->path.data, '/'), *id = vcr_reader_header(r->reader)->session_id;
	vcr_buf_add(&dir, r->path.data, slash ? (size_t)(slash - r->path.data) : 0);
	int err = vcr_join(dir.len ? dir.data : ".", &path, 1, id, &made, e);
	if (err)
		return err;
	if (rename(made.data, r->path.data)) {
		err = vcr_error_sys(e, errno, "%s cannot be replaced", r->path.data);
	} else {
		list_again(dir.len ? dir.data : ".", made.data, id, r->live.id);
		unlink(path);
	}
	vcr_join_remove(made.data);
	return err;
}

void vcr_replay_rewrite(struct replay *r, bool succeeded)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	const char *name = r->reader ? vcr_replay_name(r) : NULL;
	if (!name || !r->live.reader)
		return;
	if (!succeeded || !vcr_chain_has_calls(r->live.reader)) {
		vcr_say(r->t, "%s stays as it was: the run %s", name, succeeded ? "asked no model" : "failed");
		return;
	}
	vcr_buf_printf(&path, "%s/%s.vcr", r->vcr_dir.data, r->live.id);
	if (!strncmp(name, "golden/", 7) ? rewrite_golden(r, name + 7, path.data, &e) : rewrite_session(r, path.data, &e))
		vcr_say(r->t, "%s stays as it was: %s; the new run is session %s", name, e.what, r->live.id);
	else if (!r->t->quiet)
		vcr_say(r->t, "%s is what was recorded now", name);
}
