/* vcr golden — runs that are kept because they are right, found by their task (lib/golden.h). */
#include "golden.h"
#include "../lib/golden.h"
#include "chain.h"
#include "determ.h"
#include "join.h"
#include "ledger.h"
#include "open.h"
#include "options.h"
#include "scan.h"
#include "verbs.h"
#include "words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct golden {
	struct vcr_tool *t;
	struct vcr_opt_list tags, identity;
	const char *strict, *speed, *mode;
	bool force, deterministic;
	char *const *command;       /* NULL: none */
	struct vcr_buf vcr_dir, identity_json;
	char fingerprint[VCR_FINGERPRINT];
};

static int find_task(struct golden *g, const char *task)
{
	struct vcr_error e = { 0 };
	int err = vcr_golden_identity(g->identity.item, &g->identity_json, &e);
	if (!err)
		err = vcr_golden_fingerprint(task, g->identity_json.data, g->fingerprint, &e);
	return err == VCR_EINVAL ? vcr_wrong_call(g->t, "%s", e.what) : err ? vcr_failed(g->t, &e) : 0;
}

static int none_for(const struct golden *g, const char *task)
{
	vcr_say(g->t, "no golden run is kept for '%.100s'%s (%s); vcr-golden list shows those that are", task, g->identity.n ? " with that identity" : "", g->fingerprint);
	return VCR_EXIT_NO;
}

/* ---- save ---- */

/* ai-agent-vcr opens "file" as it stands, from the directory that holds .vcr. */
static void write_file_member(struct vcr_jw *w, const char *vcr_dir, const char *fingerprint)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	const char *slash = strrchr(vcr_dir, '/');
	vcr_golden_path(slash && !strcmp(slash, "/.vcr") ? ".vcr" : vcr_dir, fingerprint, &path);
	vcr_jw_key(w, "file");
	vcr_jw_str(w, path.data);
}

/* Seed and clock of a run that has them (determ.h), as text. */
static bool terms_of(struct vcr_reader *r, struct vcr_buf *out)
{
	const char *metadata = vcr_reader_header(r)->metadata_json;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_determ_terms terms;
	return !vcr_json_parse(&j, metadata, strlen(metadata), 0, NULL) && !vcr_json_str(&j, vcr_json_get(&j, 0, "deterministic"), out) && vcr_determ_terms_parse(out->data, &terms);
}

static void write_entry(const struct golden *g, const char *task, struct vcr_reader *r, struct vcr_buf *out)
{
	const struct vcr_reader_session *s = vcr_reader_session(r);
	VCR_AUTO_BUF now = VCR_BUF_INIT, terms = VCR_BUF_INIT;
	struct timespec t;
	struct vcr_jw w;
	clock_gettime(CLOCK_REALTIME, &t);
	vcr_words_iso(&now, (int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	const struct { const char *key, *s; } strings[] = { { "task", task }, { "session_id", s->session_id }, { "created_at", now.data } };
	for (size_t i = 0; i < 3; i++) {
		vcr_jw_key(&w, strings[i].key);
		vcr_jw_str(&w, strings[i].s);
	}
	vcr_jw_key(&w, "frame_count");
	vcr_jw_int(&w, vcr_reader_count(r));
	vcr_jw_key(&w, "total_tokens");
	vcr_jw_int(&w, s->total_tokens);
	vcr_jw_key(&w, "total_cost_usd");
	vcr_jw_double(&w, s->total_cost_usd);
	vcr_jw_key(&w, "tags");
	vcr_jw_array(&w);
	for (int i = 0; i < g->tags.n; i++)
		vcr_jw_str(&w, g->tags.item[i]);
	vcr_jw_array_end(&w);
	vcr_jw_key(&w, "identity");
	vcr_jw_raw(&w, g->identity_json.data, g->identity_json.len);
	write_file_member(&w, g->vcr_dir.data, g->fingerprint);
	if (terms_of(r, &terms)) {
		vcr_jw_key(&w, "deterministic");
		vcr_jw_str(&w, terms.data);
	}
	vcr_jw_object_end(&w);
}

/* A run that failed is no golden one; 0 if it may be kept. */
static int worth_keeping(const struct golden *g, struct vcr_reader *r)
{
	const struct vcr_reader_session *s = vcr_reader_session(r);
	VCR_AUTO_BUF terms = VCR_BUF_INIT;
	if (!vcr_reader_count(r)) {
		vcr_say(g->t, "session %s is empty: there is nothing to keep", s->session_id);
		return VCR_EXIT_NO;
	}
	if (s->errors && !g->force) {
		vcr_say(g->t, "session %s has %lld failed call%s (vcr-log --errors); --force keeps it all the same", s->session_id, (long long)s->errors, s->errors == 1 ? "" : "s");
		return VCR_EXIT_NO;
	}
	if (g->deterministic && !terms_of(r, &terms)) {
		vcr_say(g->t, "session %s was not recorded with --deterministic: it has neither seed nor clock to be kept", s->session_id);
		return VCR_EXIT_NO;
	}
	return 0;
}

/* A session that continues others (vcr replay --mode) is kept as one with them: then path is that of a file to be removed, and r is of it. */
static int make_whole(struct golden *g, struct vcr_reader **r, struct vcr_buf *path, bool *made)
{
	struct vcr_chain c = { .n = 0 };
	struct vcr_error e = { 0 };
	VCR_AUTO_BUF joined = VCR_BUF_INIT;
	char *id = strdup(vcr_reader_header(*r)->session_id);
	int status = id ? vcr_chain_open(g->t, g->vcr_dir.data, *r, path->data, &c) : VCR_EXIT_FAILED;
	if (!status && (c.n > 1 || strcmp(c.path[0], path->data))) {
		if (vcr_join(g->vcr_dir.data, (const char *const *)c.path, c.n, id, &joined, &e)) {
			status = vcr_failed(g->t, &e);
		} else {
			*made = true;
			vcr_tool_close(r);
			vcr_buf_reset(path);
			vcr_buf_add(path, joined.data, joined.len);
			status = vcr_tool_open(g->t, path->data, r);
		}
	}
	vcr_chain_release(&c);
	free(id);
	return status;
}

static int save(struct golden *g, int n, char **operand)
{
	VCR_AUTO_READER *r = NULL;
	VCR_AUTO_BUF path = VCR_BUF_INIT, entry = VCR_BUF_INIT, id = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	bool made = false;
	if (n < 1 || n > 2)
		return vcr_wrong_call(g->t, "save wants a task and perhaps a session: vcr-golden save TASK [SESSION]");
	int status = find_task(g, operand[0]);
	if (status || (status = vcr_tool_open_session(g->t, n > 1 ? operand[1] : NULL, &r, &path)) || (status = worth_keeping(g, r)))
		return status;
	if ((status = make_whole(g, &r, &path, &made)))
		return status;
	write_entry(g, operand[0], r, &entry);
	if (entry.err)
		return vcr_error_set(&e, entry.err, "%s", vcr_strerror(entry.err)), vcr_failed(g->t, &e);
	int err = vcr_golden_put(g->vcr_dir.data, g->fingerprint, path.data, entry.data, &e);
	if (made)
		vcr_join_remove(path.data);
	if (err)
		return vcr_failed(g->t, &e);
	const char *session = vcr_reader_header(r)->session_id;
	vcr_safe(&id, session, strlen(session), 0);
	if (g->t->json)
		printf("{\"fingerprint\":\"%s\",\"entry\":%s}\n", g->fingerprint, entry.data);
	else if (!g->t->quiet)
		printf("%s  session %s, %lld frames\n", g->fingerprint, id.data, (long long)vcr_reader_count(r));
	return VCR_EXIT_YES;
}

/* ---- list and show ---- */

struct index { struct vcr_buf text; struct vcr_json j; };

static int open_index(const struct golden *g, struct index *x)
{
	struct vcr_error e = { 0 };
	return vcr_golden_index(g->vcr_dir.data, &x->text, &x->j, &e) ? vcr_failed(g->t, &e) : 0;
}

static void close_index(struct index *x)
{
	vcr_json_release(&x->j);
	vcr_buf_release(&x->text);
}

static void print_text(const struct vcr_json *j, int v, size_t columns)
{
	VCR_AUTO_BUF s = VCR_BUF_INIT, safe = VCR_BUF_INIT;
	vcr_json_str(j, v, &s);
	vcr_safe_line(&safe, s.data, s.len, columns);
	fputs(safe.data, stdout);
}

static void print_json(const struct vcr_json *j, const char *fingerprint, int entry)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	struct vcr_jw w;
	vcr_jw_init(&w, &b);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "fingerprint");
	vcr_jw_str(&w, fingerprint);
	for (int m = vcr_json_first(j, entry); m >= 0; m = vcr_json_next(j, m)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		if (vcr_json_is(j, m, "fingerprint") || vcr_json_str(j, m, &key))
			continue;
		vcr_jw_key(&w, key.data);
		vcr_jw_value(&w, j, vcr_json_value(j, m));
	}
	vcr_jw_object_end(&w);
	printf("%s\n", b.data);
}

/* Since 1970; 0: unknown. */
static int64_t time_of(const struct vcr_json *j, int entry)
{
	VCR_AUTO_BUF s = VCR_BUF_INIT;
	int64_t ns;
	return !vcr_json_str(j, vcr_json_get(j, entry, "created_at"), &s) && vcr_scan_time(s.data, s.len, &ns) ? ns : 0;
}

static void print_line(const struct golden *g, const struct vcr_json *j, const char *fingerprint, int entry)
{
	VCR_AUTO_BUF when = VCR_BUF_INIT;
	int64_t frames = 0, tokens = 0;
	double cost = 0;
	vcr_json_int(j, vcr_json_get(j, entry, "frame_count"), &frames);
	vcr_json_int(j, vcr_json_get(j, entry, "total_tokens"), &tokens);
	vcr_json_double(j, vcr_json_get(j, entry, "total_cost_usd"), &cost);
	printf("%s%s%s  ", vcr_on(g->t, VCR_YELLOW), fingerprint, vcr_on(g->t, VCR_PLAIN));
	vcr_words_time(&when, time_of(j, entry), "%Y-%m-%d %H:%M");
	printf("%s  %lld frames, %lld tokens, $%.4f  ", when.data, (long long)frames, (long long)tokens, cost);
	print_text(j, vcr_json_get(j, entry, "task"), 100);
	int tags = vcr_json_get(j, entry, "tags");
	for (int m = vcr_json_type(j, tags) == VCR_JSON_ARRAY ? vcr_json_first(j, tags) : -1; m >= 0; m = vcr_json_next(j, m)) {
		printf("  %s#", vcr_on(g->t, VCR_DIM));
		print_text(j, m, 40);
		fputs(vcr_on(g->t, VCR_PLAIN), stdout);
	}
	putchar('\n');
}

static bool has_tags(const struct golden *g, const struct vcr_json *j, int entry)
{
	int tags = vcr_json_get(j, entry, "tags"), found = 0;
	for (int i = 0; i < g->tags.n; i++)
		for (int m = vcr_json_type(j, tags) == VCR_JSON_ARRAY ? vcr_json_first(j, tags) : -1; m >= 0; m = vcr_json_next(j, m))
			if (vcr_json_is(j, m, g->tags.item[i])) {
				found++;
				break;
			}
	return found == g->tags.n;
}

/* Calls fn for each entry of the index that is one. */
typedef int entry_fn(struct golden *g, const struct vcr_json *j, const char *fingerprint, int entry);
static int each_entry(struct golden *g, const struct vcr_json *j, entry_fn *fn)
{
	int worst = 0;
	for (int m = vcr_json_first(j, 0); m >= 0; m = vcr_json_next(j, m)) {
		VCR_AUTO_BUF key = VCR_BUF_INIT;
		int entry = vcr_json_value(j, m);
		if (vcr_json_str(j, m, &key) || !vcr_golden_is_fingerprint(key.data, key.len) || vcr_json_type(j, entry) != VCR_JSON_OBJECT || !has_tags(g, j, entry))
			continue;
		int status = fn(g, j, key.data, entry);
		worst = status > worst ? status : worst;
	}
	return worst;
}

static int list_one(struct golden *g, const struct vcr_json *j, const char *fingerprint, int entry)
{
	if (g->t->json)
		print_json(j, fingerprint, entry);
	else
		print_line(g, j, fingerprint, entry);
	return 0;
}

static int list(struct golden *g, int n, char **operand)
{
	struct index x = { VCR_BUF_INIT, VCR_JSON_INIT };
	if (n)
		return vcr_wrong_call(g->t, "list takes no operand");
	int status = open_index(g, &x);
	if (!status)
		status = each_entry(g, &x.j, list_one);
	close_index(&x);
	return status;
}

static int show(struct golden *g, int n, char **operand)
{
	struct index x = { VCR_BUF_INIT, VCR_JSON_INIT };
	if (n != 1)
		return vcr_wrong_call(g->t, "show wants a task");
	int status = find_task(g, operand[0]);
	if (status || (status = open_index(g, &x)))
		return status;
	int entry = vcr_json_get(&x.j, 0, g->fingerprint);
	if (vcr_json_type(&x.j, entry) != VCR_JSON_OBJECT) {
		status = none_for(g, operand[0]);
	} else if (g->t->json) {
		print_json(&x.j, g->fingerprint, entry);
	} else {
		VCR_AUTO_BUF words = VCR_BUF_INIT, path = VCR_BUF_INIT;
		vcr_words_json(&words, &x.j, entry, 0);
		vcr_golden_path(g->vcr_dir.data, g->fingerprint, &path);
		printf("%s\n%s\n\nvcr-log %s shows what happened in it\n", g->fingerprint, words.data, path.data);
	}
	close_index(&x);
	return status;
}

/* ---- invalidate and verify ---- */

static int invalidate(struct golden *g, int n, char **operand)
{
	struct vcr_error e = { 0 };
	if (n != 1)
		return vcr_wrong_call(g->t, "invalidate wants a task");
	int status = find_task(g, operand[0]);
	if (status)
		return status;
	int err = vcr_golden_remove(g->vcr_dir.data, g->fingerprint, &e);
	if (err < 0)
		return vcr_failed(g->t, &e);
	if (err)
		return none_for(g, operand[0]);
	if (g->t->json)
		printf("{\"fingerprint\":\"%s\",\"removed\":true}\n", g->fingerprint);
	else if (!g->t->quiet)
		printf("%s  is no golden run any more\n", g->fingerprint);
	return VCR_EXIT_YES;
}

static int verify_one(struct golden *g, const struct vcr_json *j, const char *fingerprint, int entry)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	vcr_golden_path(g->vcr_dir.data, fingerprint, &path);
	if (!access(path.data, R_OK))
		return vcr_verify_path(g->t, path.data, fingerprint);
	vcr_say(g->t, "%s is listed, but %s is not there; save the run again, or invalidate the task", fingerprint, path.data);
	return VCR_EXIT_NO;
}

static int verify(struct golden *g, int n, char **operand)
{
	struct index x = { VCR_BUF_INIT, VCR_JSON_INIT };
	if (n > 1)
		return vcr_wrong_call(g->t, "verify wants one task, or none for all");
	int status = n ? find_task(g, operand[0]) : 0;
	if (status || (status = open_index(g, &x)))
		return status;
	if (!n)
		status = each_entry(g, &x.j, verify_one);
	else if (vcr_json_get(&x.j, 0, g->fingerprint) < 0)
		status = none_for(g, operand[0]);
	else
		status = verify_one(g, &x.j, g->fingerprint, -1);
	close_index(&x);
	return status;
}

/* ---- replay ---- */

/* Every frame's output, one to a line, and what that saved: what ai-agent-vcr's replay() returns. */
static int print_outputs(struct golden *g, const char *path)
{
	VCR_AUTO_READER *r = NULL;
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	struct vcr_ledger l = { 0 };
	struct vcr_reader_frame f;
	struct vcr_error e = { 0 };
	struct vcr_jw w;
	int status = vcr_tool_open(g->t, path, &r);
	for (int64_t i = 0; !status && i < vcr_reader_count(r); i++) {
		VCR_AUTO_BUF line = VCR_BUF_INIT;
		if (vcr_reader_frame(r, i, &f, &e)) {
			status = vcr_failed(g->t, &e);
			break;
		}
		vcr_jw_init(&w, &line);
		vcr_jw_value(&w, f.j, f.output);
		printf("%s\n", f.output < 0 ? "{}" : line.data);
		vcr_ledger_add(&l, &f, 1);
	}
	if (status)
		return status;
	if (g->t->json) {
		vcr_jw_init(&w, &words);
		vcr_ledger_write(&l, &w);
		fprintf(stderr, "%s\n", words.data);
	} else if (!g->t->quiet) {
		vcr_words_ledger(&words, &l);
		vcr_say(g->t, "%s", words.data);
	}
	return VCR_EXIT_YES;
}

/* vcr replay FILE -- COMMAND, with the options that are for it. */
static int replay_command(struct golden *g, const char *path)
{
	VCR_AUTO_BUF strict = VCR_BUF_INIT, speed = VCR_BUF_INIT, mode = VCR_BUF_INIT;
	char *argv[16], name[] = "replay", json[] = "--json", quiet[] = "--quiet", verbose[] = "--verbose", determ[] = "--deterministic", dashes[] = "--";
	int n = 0, words = 0;
	while (g->command[words])
		words++;
	char **all = calloc((size_t)words + 16, sizeof *all);
	if (!all)
		return VCR_EXIT_FAILED;
	argv[n++] = name;
	if (g->strict && !vcr_buf_printf(&strict, "--strict=%s", g->strict))
		argv[n++] = strict.data;
	if (g->speed && !vcr_buf_printf(&speed, "--speed=%s", g->speed))
		argv[n++] = speed.data;
	if (g->mode && !vcr_buf_printf(&mode, "--mode=%s", g->mode))
		argv[n++] = mode.data;
	if (g->t->json)
		argv[n++] = json;
	if (g->t->quiet)
		argv[n++] = quiet;
	if (g->t->verbose)
		argv[n++] = verbose;
	if (g->deterministic)
		argv[n++] = determ;
	argv[n++] = (char *)path;
	argv[n++] = dashes;
	memcpy(all, argv, (size_t)n * sizeof *all);
	memcpy(all + n, g->command, (size_t)words * sizeof *all);
	int status = vcr_verb_replay(g->t, n + words, all);
	free(all);
	return status;
}

static int replay(struct golden *g, int n, char **operand)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (n != 1)
		return vcr_wrong_call(g->t, "replay wants a task: vcr-golden replay TASK [-- COMMAND]");
	int status = find_task(g, operand[0]);
	if (status)
		return status;
	vcr_golden_path(g->vcr_dir.data, g->fingerprint, &path);
	if (access(path.data, R_OK))
		return none_for(g, operand[0]);
	if (g->deterministic && !g->command)
		return vcr_wrong_call(g->t, "--deterministic is about a command: vcr-golden replay --deterministic TASK -- COMMAND");
	return g->command ? replay_command(g, path.data) : print_outputs(g, path.data);
}

/* ---- The call ---- */

static const struct { const char *name; int (*run)(struct golden *g, int n, char **operand); bool command; } subverbs[] = {
	{ "save", save, false }, { "replay", replay, true }, { "list", list, false }, { "show", show, false }, { "invalidate", invalidate, false }, { "verify", verify, false },
};

static int run_subverb(struct golden *g, int n, char **operand)
{
	struct vcr_error e = { 0 };
	for (size_t i = 0; n && i < sizeof subverbs / sizeof *subverbs; i++)
		if (!strcmp(operand[0], subverbs[i].name)) {
			if (g->command && !subverbs[i].command)
				return vcr_wrong_call(g->t, "%s takes no command", operand[0]);
			return vcr_tool_dir(g->t, &g->vcr_dir, &e) ? vcr_failed(g->t, &e) : subverbs[i].run(g, n - 1, operand + 1);
		}
	return n ? vcr_wrong_call(g->t, "'%s' is none of save, replay, list, show, invalidate, verify", operand[0])
		: vcr_wrong_call(g->t, "what is to be done? save, replay, list, show, invalidate or verify");
}

int vcr_verb_golden(struct vcr_tool *t, int argc, char **argv)
{
	struct golden g = { .t = t, .vcr_dir = VCR_BUF_INIT, .identity_json = VCR_BUF_INIT };
	const struct vcr_opt opts[] = {
		{ 't', "tag", "TAG", VCR_OPT_LIST, &g.tags, "save: give it this tag; list, verify: only those that have it" },
		{ 'i', "identity", "KEY=VALUE", VCR_OPT_LIST, &g.identity, "what else the run depends on, a model or a commit: another value is another run" },
		{ 0, "force", NULL, VCR_OPT_FLAG, &g.force, "save: also a session with failed calls" },
		{ 'S', "strict", "RUNG", VCR_OPT_STRING, &g.strict, "replay: as vcr-replay takes it" },
		{ 'm', "match", "RUNG", VCR_OPT_STRING, &g.strict, "the old name of --strict" },
		{ 'M', "mode", "MODE", VCR_OPT_STRING, &g.mode, "replay: as vcr-replay takes it; rewrite: a run that succeeds takes the place of the one that is kept" },
		{ 's', "speed", "N", VCR_OPT_STRING, &g.speed, "replay: as vcr-replay takes it" },
		{ 0, "deterministic", NULL, VCR_OPT_FLAG, &g.deterministic, "save: only a session that was recorded so; replay: with its clock, chance and process numbers" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "save TASK [SESSION] | replay TASK [-- COMMAND [ARGUMENT]...] | list | show TASK | invalidate TASK | verify [TASK]",
		"Keep a run that was right under its task, and replay it whenever the task comes again.", opts, false };
	char **command = NULL;
	int front = vcr_split_command(argc, argv, &command), status, n = vcr_options_parse(t, &u, front, argv, &status);
	if (n >= 0 && command && !*command)
		status = vcr_wrong_call(t, "which command? vcr-golden replay TASK -- COMMAND");
	else if (n >= 0) {
		g.command = command;
		status = run_subverb(&g, n, argv);
	}
	vcr_opt_list_release(&g.tags);
	vcr_opt_list_release(&g.identity);
	vcr_buf_release(&g.vcr_dir);
	vcr_buf_release(&g.identity_json);
	return status;
}
