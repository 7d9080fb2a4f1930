/* recorder-context.c — where the run was at home, so that a replay elsewhere knows which paths are its own: one vcr.context line behind the header;
 * and which files are not its work. */
#include "recorder-parts.h"
#include "paths.h"
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

/* A pattern for a directory of ours that lies in the workspace. */
static char *own_pattern(const struct vcr_recorder *r, const char *dir)
{
	size_t n = strlen(r->workspace);
	VCR_AUTO_BUF pattern = VCR_BUF_INIT;
	if (strncmp(dir, r->workspace, n) || dir[n] != '/' || !dir[n + 1])
		return NULL;
	for (const char *p = dir + n; *p; p++) {
		if (strchr("*?[\\", *p))
			vcr_buf_putc(&pattern, '\\');
		vcr_buf_putc(&pattern, *p);
	}
	vcr_buf_putc(&pattern, '/');
	return pattern.len ? vcr_buf_take(&pattern, NULL) : NULL;
}

int vcr_recorder_make_ignore(struct vcr_recorder *r, char *const *configured)
{
	VCR_AUTO_BUF state = VCR_BUF_INIT, run = VCR_BUF_INIT;
	size_t n = 0;
	while (configured[n])
		n++;
	if (!(r->ignore = calloc(n + 4, sizeof *r->ignore)))
		return VCR_ENOMEM;
	for (n = 0; configured[n]; n++)
		if (!(r->ignore[n] = strdup(configured[n])))
			return VCR_ENOMEM;
	if (!vcr_paths_state_dir(r->workspace, &state, NULL)) {
		*strrchr(state.data, '/') = 0; /* of every workspace */
		if ((r->ignore[n] = own_pattern(r, state.data)))
			n++;
	}
	if (!vcr_paths_runtime_dir(&run, NULL) && (r->ignore[n] = own_pattern(r, run.data)))
		n++;
	r->ignore[n] = own_pattern(r, r->vcr_dir);
	return 0;
}
