#include "manifest.h"
#include "json.h"
#include "replace.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_MANIFEST = 64 << 20 };

static void write_sessions(struct vcr_jw *w, const struct vcr_json *j, int list, const char *id, const char *entry)
{
	vcr_jw_array(w);
	for (int m = vcr_json_first(j, list); m >= 0; m = vcr_json_next(j, m))
		if (!vcr_json_is(j, vcr_json_get(j, m, "session_id"), id))
			vcr_jw_value(w, j, m);
	if (entry)
		vcr_jw_raw(w, entry, strlen(entry));
	vcr_jw_array_end(w);
}

static void compose(struct vcr_buf *out, const struct vcr_json *j, const char *id, const char *entry, const char *now)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	for (int m = vcr_json_first(j, 0); m >= 0; m = vcr_json_next(j, m)) {
		if (vcr_json_is(j, m, "sessions") || vcr_json_is(j, m, "updated_at"))
			continue;
		vcr_jw_value(&w, j, m);
		vcr_buf_putc(out, ':');
		w.after_key = true;
		vcr_jw_value(&w, j, vcr_json_value(j, m));
	}
	vcr_jw_key(&w, "sessions");
	write_sessions(&w, j, vcr_json_get(j, 0, "sessions"), id, entry);
	vcr_jw_key(&w, "updated_at");
	if (now)
		vcr_jw_str(&w, now);
	else if (vcr_json_get(j, 0, "updated_at") >= 0)
		vcr_jw_value(&w, j, vcr_json_get(j, 0, "updated_at"));
	else
		vcr_jw_null(&w);
	vcr_jw_object_end(&w);
	vcr_buf_putc(out, '\n');
}

/* bad_aside: a manifest that is none is set aside and begun anew; otherwise it is left alone, and so is one that is not there. */
static int change(const char *vcr_dir, const char *session_id, const char *entry_json, const char *now_iso, bool bad_aside, struct vcr_error *e)
{
	static const char name[] = "manifest.json";
	VCR_AUTO_BUF old = VCR_BUF_INIT, made = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int dir, err = vcr_replace_lock(vcr_dir, name, &dir, e);
	if (err)
		return err;
	old.max = MAX_MANIFEST;
	err = vcr_replace_read(dir, vcr_dir, name, &old, e);
	bool good = !err && old.len && !vcr_json_document(&j, old.data, old.len, VCR_JSON_RELAXED, NULL) && vcr_json_type(&j, 0) == VCR_JSON_OBJECT;
	if (!err && !good && bad_aside) {
		vcr_json_release(&j);
		if (old.len)
			renameat(dir, name, dir, "manifest.json.bad");
	}
	if (!err && (good || bad_aside)) {
		compose(&made, &j, session_id, entry_json, now_iso);
		err = made.err ? vcr_error_set(e, made.err, "%s: %s", name, vcr_strerror(made.err)) : vcr_replace_write(dir, vcr_dir, name, &made, e);
	}
	close(dir);
	return err;
}

int vcr_manifest_put(const char *vcr_dir, const char *session_id, const char *entry_json, const char *now_iso, struct vcr_error *e)
{
	return change(vcr_dir, session_id, entry_json, now_iso, true, e);
}

int vcr_manifest_remove(const char *vcr_dir, const char *session_id, struct vcr_error *e)
{
	return change(vcr_dir, session_id, NULL, NULL, false, e);
}
