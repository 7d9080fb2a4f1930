/* recorder-context.c — where the run was at home, so that a replay elsewhere knows which paths are its own: one vcr.context line behind the header. */
#include "recorder-parts.h"
#include <stdlib.h>
#include <string.h>

/* As the bodies have it: what is secret in a path is replaced there too. */
static void write_directory(struct vcr_recorder *r, struct vcr_jw *w, const char *key, const char *dir)
{
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	size_t n = dir && *dir == '/' ? strnlen(dir, VCR_MAX_PATH) : 0;
	while (n > 1 && dir[n - 1] == '/')
		n--;
	if (!n || n == VCR_MAX_PATH || vcr_redact(r->redact, dir, n, &clean, NULL))
		return;
	vcr_jw_key(w, key);
	vcr_jw_strn(w, clean.data, clean.len);
}

void vcr_recorder_write_context(struct vcr_recorder *r)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	const char *tmp = getenv("TMPDIR");
	vcr_jw_init(&w, &b);
	vcr_jw_object(&w);
	write_directory(r, &w, "cwd", r->spool->start_dir);
	write_directory(r, &w, "workspace", r->workspace);
	write_directory(r, &w, "home", getenv("HOME"));
	write_directory(r, &w, "tmp", tmp && *tmp ? tmp : "/tmp");
	vcr_jw_object_end(&w);
	if (!b.err)
		vcr_session_add_record(r->session, "context", b.data, &r->last_error);
}
