/* vcr scrub — a session without what patterns and fields name: a new file, or in place of the old one. */
#include "control.h"
#include "manifest.h"
#include "open.h"
#include "options.h"
#include "scrub.h"
#include "verbs.h"
#include "verify.h"
#include "words.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct scrubbing {
	struct vcr_tool *t;
	struct vcr_opt_list patterns, fields, hosts;
	const char *to;
	bool in_place, force;
	struct vcr_rules *rules;
	struct vcr_scrubbed done;
};

static int add_rules(struct scrubbing *s, struct vcr_error *e)
{
	const struct { const struct vcr_opt_list *l; int (*add)(struct vcr_rules *, const char *, struct vcr_error *); } all[] = {
		{ &s->patterns, vcr_rules_add_pattern }, { &s->fields, vcr_rules_add_field }, { &s->hosts, vcr_rules_add_host } };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		for (int k = 0; k < all[i].l->n; k++) {
			int err = all[i].add(s->rules, all[i].l->item[k], e);
			if (err)
				return err;
		}
	return 0;
}

/* A session that grows has a writer who knows nothing of us. */
static bool is_being_recorded(const struct vcr_reader *r)
{
	VCR_AUTO_BUF answer = VCR_BUF_INIT;
	const struct vcr_reader_session *h = vcr_reader_header(r);
	int err = h->ended || !*h->session_id ? VCR_ENOTFOUND : vcr_control_ask(h->session_id, "{\"op\":\"status\"}", &answer, VCR_SETTLE_MS, NULL);
	return !err || err == VCR_EBUSY || err == VCR_ETRUNC; /* one that is busy is there too */
}

/* Does the new file hold what it says? Nobody gets it otherwise. */
static int verify(struct scrubbing *s, const char *path)
{
	VCR_AUTO_READER *r = NULL;
	struct vcr_verified v;
	struct vcr_error e = { 0 };
	struct vcr_tool quiet = *s->t;
	quiet.quiet = true;
	int status = vcr_tool_open(&quiet, path, &r);
	if (status)
		return status;
	if (vcr_verify(r, NULL, NULL, &v, &e))
		return vcr_failed(s->t, &e);
	if (!v.faults && !vcr_reader_header(r)->warnings)
		return 0;
	vcr_say(s->t, "a rule names what holds the session together, and without it %lld things in it would not be found again; nothing is changed", (long long)v.faults);
	return VCR_EXIT_FAILED;
}

static void put_time(struct vcr_jw *w, const char *key, int64_t ns)
{
	VCR_AUTO_BUF iso = VCR_BUF_INIT;
	vcr_words_iso(&iso, ns);
	vcr_jw_key(w, key);
	vcr_jw_str(w, iso.data);
}

/* As the session's writer lists it. */
static void write_entry(struct vcr_reader *r, struct vcr_buf *out)
{
	const struct vcr_reader_session *h = vcr_reader_session(r);
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "session_id");
	vcr_jw_str(&w, h->session_id);
	vcr_jw_key(&w, "parent_session_id");
	vcr_jw_str(&w, h->parent_session_id);
	vcr_jw_key(&w, "forked_from_frame");
	if (h->forked_from_frame >= 0)
		vcr_jw_int(&w, h->forked_from_frame);
	else
		vcr_jw_null(&w);
	vcr_jw_key(&w, "metadata");
	vcr_jw_raw(&w, h->metadata_json, strlen(h->metadata_json));
	vcr_jw_key(&w, "tags");
	vcr_jw_array(&w);
	for (int i = 0; i < h->ntags; i++)
		vcr_jw_str(&w, h->tags[i]);
	vcr_jw_array_end(&w);
	put_time(&w, "created_at", h->created_ns);
	put_time(&w, "updated_at", h->updated_ns);
	vcr_jw_key(&w, "frame_count");
	vcr_jw_int(&w, vcr_reader_count(r));
	vcr_jw_key(&w, "total_tokens");
	vcr_jw_int(&w, h->total_tokens);
	vcr_jw_key(&w, "total_cost_usd");
	vcr_jw_double(&w, h->total_cost_usd);
	vcr_jw_object_end(&w);
}

/* The list of sessions shows tags and metadata too. */
static int update_list(struct scrubbing *s, const char *path)
{
	VCR_AUTO_READER *r = NULL;
	VCR_AUTO_BUF entry = VCR_BUF_INIT, dir = VCR_BUF_INIT, now = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	const char *slash = strrchr(path, '/');
	int status = slash ? vcr_tool_open(s->t, path, &r) : 0;
	if (status || !slash)
		return status;
	vcr_buf_add(&dir, path, (size_t)(slash - path));
	VCR_AUTO_BUF manifest = VCR_BUF_INIT;
	vcr_buf_printf(&manifest, "%s/manifest.json", dir.data);
	if (access(manifest.data, F_OK))
		return 0;
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	vcr_words_iso(&now, (int64_t)t.tv_sec * 1000000000 + t.tv_nsec);
	write_entry(r, &entry);
	return vcr_manifest_put(dir.data, vcr_reader_session(r)->session_id, entry.data, now.data, &e) ? vcr_failed(s->t, &e) : 0;
}

static int write_new(struct scrubbing *s, struct vcr_reader *r, const char *from, const char *to, mode_t mode)
{
	VCR_AUTO_BUF tmp = VCR_BUF_INIT;
	struct vcr_error e = { 0 };
	struct vcr_rules *rules = s->rules;
	int status = 0, fd;
	vcr_buf_printf(&tmp, "%s.XXXXXX", to);
	if ((fd = mkostemp(tmp.data, O_CLOEXEC)) < 0) {
		vcr_say(s->t, "cannot write %s: %s", to, strerror(errno));
		return VCR_EXIT_FAILED;
	}
	s->rules = NULL;
	if (vcr_scrub_session(r, from, rules, fd, &s->done, &e))
		status = vcr_failed(s->t, &e);
	else if (fchmod(fd, mode) || fsync(fd)) {
		vcr_say(s->t, "cannot write %s: %s", to, strerror(errno));
		status = VCR_EXIT_FAILED;
	}
	close(fd);
	if (!status)
		status = verify(s, tmp.data);
	bool replaces = s->in_place || s->force;
	if (!status && (replaces ? rename(tmp.data, to) : link(tmp.data, to))) {
		vcr_say(s->t, "cannot write %s: %s", to, strerror(errno));
		status = VCR_EXIT_FAILED;
	}
	if (status || !replaces)
		unlink(tmp.data);
	return status;
}

/* 0, or an exit status. */
static int check_target(const struct scrubbing *s, const char *path)
{
	struct stat in, out;
	if (stat(s->to, &out))
		return 0;
	if (!stat(path, &in) && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
		return vcr_wrong_call(s->t, "%s is the session itself; --in-place replaces it", s->to);
	if (!s->force)
		return vcr_wrong_call(s->t, "%s exists already; --force overwrites it", s->to);
	return S_ISREG(out.st_mode) ? 0 : vcr_wrong_call(s->t, "%s is no regular file", s->to);
}

static void tell(const struct scrubbing *s, const char *to)
{
	const struct vcr_scrubbed *d = &s->done;
	if (s->t->json) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		struct vcr_jw w;
		const struct { const char *key; int64_t n; } numbers[] = { { "values", d->values }, { "bodies", d->bodies }, { "lines", d->lines } };
		vcr_jw_init(&w, &b);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "path");
		vcr_jw_str(&w, to);
		for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
			vcr_jw_key(&w, numbers[i].key);
			vcr_jw_int(&w, numbers[i].n);
		}
		vcr_jw_object_end(&w);
		printf("%s\n", b.data);
	} else if (!s->t->quiet) {
		VCR_AUTO_BUF safe = VCR_BUF_INIT;
		vcr_safe_line(&safe, to, strlen(to), 0);
		printf("%s: %lld %s removed from %lld bodies and %lld lines\n", safe.data, (long long)d->values, d->values == 1 ? "value" : "values", (long long)d->bodies,
			(long long)d->lines);
	}
}

static int scrub(struct scrubbing *s, const char *session)
{
	VCR_AUTO_READER *r = NULL;
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct stat st;
	int status = vcr_tool_open_session(s->t, session, &r, &path);
	if (status)
		return status;
	if (is_being_recorded(r)) {
		vcr_say(s->t, "%s is being recorded; scrub it when it has ended", path.data);
		return VCR_EXIT_FAILED;
	}
	if (s->to && (status = check_target(s, path.data)) != 0)
		return status;
	if (stat(path.data, &st)) {
		vcr_say(s->t, "%s: %s", path.data, strerror(errno));
		return VCR_EXIT_FAILED;
	}
	char *real = realpath(path.data, NULL); /* a link to a session goes on to be one */
	const char *to = s->to ? s->to : real ? real : path.data;
	status = write_new(s, r, path.data, to, s->to ? 0600 : st.st_mode & 0777);
	if (!status && s->in_place)
		status = update_list(s, path.data);
	if (!status)
		tell(s, s->to ? to : path.data);
	free(real);
	return status;
}

int vcr_verb_scrub(struct vcr_tool *t, int argc, char **argv)
{
	struct scrubbing s = { .t = t };
	const struct vcr_opt opts[] = {
		{ 'p', "pattern", "REGEX", VCR_OPT_LIST, &s.patterns, "remove text that matches; may be given several times" },
		{ 'f', "field", "PATH", VCR_OPT_LIST, &s.fields, "remove the values of JSON members and header fields of that name; likewise" },
		{ 0, "host", "HOST", VCR_OPT_LIST, &s.hosts, "look for these in the traffic with HOST only; likewise" },
		{ 'o', "output", "FILE", VCR_OPT_STRING, &s.to, "write FILE, which must not exist" },
		{ 0, "force", NULL, VCR_OPT_FLAG, &s.force, "FILE may exist and is replaced" },
		{ 0, "in-place", NULL, VCR_OPT_FLAG, &s.in_place, "replace the session" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "[SESSION]", "Remove more from a session than a recording does by itself; it can still be replayed.", opts, false };
	struct vcr_error e = { 0 };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n >= 0 && n > 1)
		status = vcr_wrong_call(t, "one session at a time");
	else if (n >= 0 && !s.patterns.n && !s.fields.n)
		status = vcr_wrong_call(t, "what is to be removed? --pattern or --field says it");
	else if (n >= 0 && (s.to != NULL) == s.in_place)
		status = vcr_wrong_call(t, "say where the scrubbed session goes: --output=FILE, or --in-place");
	else if (n >= 0 && !(s.rules = vcr_rules_new()))
		status = vcr_failed(t, &(struct vcr_error){ .code = VCR_ENOMEM });
	else if (n >= 0 && add_rules(&s, &e))
		status = vcr_wrong_call(t, "%s", e.what);
	else if (n >= 0)
		status = scrub(&s, n ? argv[0] : NULL);
	vcr_rules_free(s.rules);
	vcr_opt_list_release(&s.patterns);
	vcr_opt_list_release(&s.fields);
	vcr_opt_list_release(&s.hosts);
	return status;
}
