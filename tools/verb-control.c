/* vcr status, annotate, savepoint — questions to the collectors that are running (lib/control.h). */
#include "control.h"
#include "json.h"
#include "options.h"
#include "paths.h"
#include "verbs.h"
#include "words.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASK_MS = 10000 };

/* One collector's answer to "status". Returns non-zero to stop. */
typedef int each_fn(void *ctx, const char *id, const struct vcr_json *answer);

static bool belongs(const struct vcr_json *j, const char *vcr_dir)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	size_t n = strlen(vcr_dir);
	return !vcr_json_str(j, vcr_json_get(j, 0, "path"), &path) && !strncmp(path.data, vcr_dir, n) && path.data[n] == '/';
}

/* Ask the collector behind every socket of the runtime directory whose session file is in vcr_dir (NULL: anywhere). */
static int each_running(const char *vcr_dir, each_fn *fn, void *ctx, struct vcr_error *e)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	struct dirent *ent;
	int err = vcr_paths_runtime_dir(&dir, e);
	DIR *d = err ? NULL : opendir(dir.data);
	while (d && !err && (ent = readdir(d))) {
		VCR_AUTO_BUF answer = VCR_BUF_INIT;
		VCR_AUTO_JSON j = VCR_JSON_INIT;
		char id[256];
		size_t n = strlen(ent->d_name);
		if (n < 6 || n - 5 >= sizeof id || strcmp(ent->d_name + n - 5, ".sock"))
			continue;
		snprintf(id, sizeof id, "%.*s", (int)(n - 5), ent->d_name);
		if (!vcr_control_ask(id, "{\"op\":\"status\"}", &answer, ASK_MS, NULL) && !vcr_json_parse(&j, answer.data, answer.len, 0, NULL) &&
		    (!vcr_dir || belongs(&j, vcr_dir)))
			err = fn(ctx, id, &j);
	}
	if (d)
		closedir(d);
	return err;
}

/* ---- status ---- */

struct status { struct vcr_tool *t; const char *only; int n; };

static int64_t number(const struct vcr_json *j, const char *path)
{
	int64_t n = 0;
	vcr_json_int(j, vcr_json_path(j, 0, path), &n);
	return n;
}

static int print_status(void *ctx, const char *id, const struct vcr_json *j)
{
	struct status *s = ctx;
	double cost = 0;
	if (s->only && strcmp(s->only, id))
		return 0;
	s->n++;
	if (s->t->json) {
		printf("%s\n", j->text);
		return 0;
	}
	vcr_json_double(j, vcr_json_get(j, 0, "cost_usd"), &cost);
	printf("%s%s%s  %lld processes, %lld frames, %lld model calls, %lld errors, %lld tokens, $%.4f\n", vcr_on(s->t, VCR_BOLD), id, vcr_on(s->t, VCR_PLAIN),
		(long long)number(j, "processes"), (long long)number(j, "frames"), (long long)number(j, "model_calls"), (long long)number(j, "errors"),
		(long long)number(j, "tokens"), cost);
	int losses = vcr_json_get(j, 0, "losses");
	for (int k = vcr_json_first(j, losses); k >= 0; k = vcr_json_next(j, k)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		int64_t n = 0;
		if (vcr_json_int(j, vcr_json_value(j, k), &n) && n && !vcr_json_str(j, k, &key))
			printf("  %slost: %s %lld%s\n", vcr_on(s->t, VCR_RED), key.data, (long long)n, vcr_on(s->t, VCR_PLAIN));
	}
	VCR_AUTO_BUF files = VCR_BUF_INIT;
	vcr_words_files(&files, j, vcr_json_get(j, 0, "files"), "  ");
	vcr_words_kept(&files, j, vcr_json_get(j, 0, "savepoints"), "  ");
	fputs(files.data, stdout);
	return 0;
}

int vcr_verb_status(struct vcr_tool *t, int argc, char **argv)
{
	bool all = false;
	const struct vcr_opt opts[] = {
		{ 'a', "all", NULL, VCR_OPT_FLAG, &all, "every session that this user records now, not only those of this workspace" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION]", "Ask the collectors that are running how they are. Exits with 1 if none runs.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	struct status s = { .t = t };
	struct vcr_error e = { 0 };
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	if (n < 0)
		return status;
	if (n > 1)
		return vcr_wrong_call(t, "one session at a time");
	s.only = n ? argv[0] : NULL;
	if (vcr_tool_dir(t, &dir, &e) || each_running(all || s.only ? NULL : dir.data, print_status, &s, &e))
		return vcr_failed(t, &e);
	if (!s.n && !t->quiet)
		vcr_say(t, s.only ? "session %s is not being recorded now" : "nothing is being recorded in %s now", s.only ? s.only : dir.data);
	return s.n ? VCR_EXIT_YES : VCR_EXIT_NO;
}

/* ---- annotate, savepoint ---- */

struct the_one { char id[256]; int n; };

static int remember(void *ctx, const char *id, const struct vcr_json *j)
{
	struct the_one *o = ctx;
	if (!o->n++)
		snprintf(o->id, sizeof o->id, "%s", id);
	return 0;
}

/* The session that is meant: --session, else the only one that runs here. Returns 0 or an exit status. */
static int which(struct vcr_tool *t, const char *session, struct the_one *o)
{
	VCR_AUTO_BUF dir = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	if (session) {
		snprintf(o->id, sizeof o->id, "%s", session);
		return 0;
	}
	if (vcr_tool_dir(t, &dir, &e) || each_running(dir.data, remember, o, &e))
		return vcr_failed(t, &e);
	if (o->n == 1)
		return 0;
	if (o->n)
		return vcr_wrong_call(t, "%d sessions are being recorded in %s; name one with --session (vcr-status lists them)", o->n, dir.data);
	vcr_say(t, "nothing is being recorded in %s now", dir.data);
	return VCR_EXIT_NO;
}

static int ask(struct vcr_tool *t, const char *id, const struct vcr_buf *request)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT, why = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_error e = { 0 };
	int err = vcr_control_ask(id, request->data, &answer, ASK_MS, &e);
	if (err) {
		vcr_say(t, "%s", e.what);
		return err == VCR_ENOTFOUND ? VCR_EXIT_NO : VCR_EXIT_FAILED;
	}
	if (vcr_json_parse(&j, answer.data, answer.len, 0, &e) || !vcr_json_true(&j, vcr_json_get(&j, 0, "ok"))) {
		vcr_json_str(&j, vcr_json_get(&j, 0, "error"), &why);
		vcr_say(t, "session %s: %s", id, why.len ? why.data : "the collector's answer is not understood");
		return VCR_EXIT_FAILED;
	}
	if (t->json)
		printf("%s\n", answer.data);
	else if (!t->quiet)
		printf("session %s: frame %lld\n", id, (long long)number(&j, "frames") - 1);
	return VCR_EXIT_YES;
}

static void begin_request(struct vcr_jw *w, struct vcr_buf *out, const char *op)
{
	vcr_jw_init(w, out);
	vcr_jw_object(w);
	vcr_jw_key(w, "op");
	vcr_jw_str(w, op);
}

static int annotate(struct vcr_tool *t, const char *session, const char *node, const char *text, const struct vcr_opt_list *meta)
{
	VCR_AUTO_BUF request = VCR_BUF_INIT;
	struct the_one one = { 0 };
	struct vcr_jw w;
	int status = which(t, session, &one);
	if (status)
		return status;
	begin_request(&w, &request, "annotate");
	vcr_jw_key(&w, "data");
	vcr_jw_object(&w);
	vcr_jw_key(&w, "node");
	vcr_jw_str(&w, node);
	vcr_jw_key(&w, "output");
	vcr_jw_object(&w);
	vcr_jw_key(&w, "text");
	vcr_jw_str(&w, text);
	for (int i = 0; i < meta->n; i++) {
		char key[256];
		const char *eq = strchr(meta->item[i], '=');
		if (!eq || eq == meta->item[i] || eq - meta->item[i] >= (ptrdiff_t)sizeof key)
			return vcr_wrong_call(t, "--meta wants KEY=VALUE, not '%s'", meta->item[i]);
		snprintf(key, sizeof key, "%.*s", (int)(eq - meta->item[i]), meta->item[i]);
		vcr_jw_key(&w, key);
		vcr_jw_str(&w, eq + 1);
	}
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	return ask(t, one.id, &request);
}

int vcr_verb_annotate(struct vcr_tool *t, int argc, char **argv)
{
	const char *session = NULL, *node = "note";
	VCR_AUTO_LIST meta = { 0 };
	const struct vcr_opt opts[] = {
		{ 's', "session", "ID", VCR_OPT_STRING, &session, "the session; needed when several are being recorded here" },
		{ 0, "node", "NAME", VCR_OPT_STRING, &node, "node name of the frame; note unless given" },
		{ 'm', "meta", "KEY=VALUE", VCR_OPT_LIST, &meta, "a further value of the frame; may be given several times" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "TEXT", "Put a note into a session that is being recorded, as a frame of type node.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	if (n != 1)
		return vcr_wrong_call(t, n ? "one text, in quotes" : "which text?");
	return annotate(t, session, node, argv[0], &meta);
}

int vcr_verb_savepoint(struct vcr_tool *t, int argc, char **argv)
{
	const char *session = NULL;
	const struct vcr_opt opts[] = {
		{ 's', "session", "ID", VCR_OPT_STRING, &session, "the session; needed when several are being recorded here" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[MESSAGE]", "Record what changed in the files up to now, and a checkpoint frame.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	VCR_AUTO_BUF request = VCR_BUF_INIT;
	struct the_one one = { 0 };
	struct vcr_jw w;
	if (n < 0)
		return status;
	if (n > 1)
		return vcr_wrong_call(t, "one message, in quotes");
	if ((status = which(t, session, &one)))
		return status;
	begin_request(&w, &request, "savepoint");
	vcr_jw_key(&w, "message");
	vcr_jw_str(&w, n ? argv[0] : "");
	vcr_jw_object_end(&w);
	return ask(t, one.id, &request);
}
