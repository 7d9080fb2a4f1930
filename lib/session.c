#include "session-parts.h"
#include "index.h"
#include "limits.h"
#include "manifest.h"
#include "paths.h"
#include "prehash.h"
#include "reader.h"
#include "session-name.h"
#include "sha256.h"
#include "state.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	FORMAT = 1,
	MAX_BACKLOG = 16 << 20,   /* bytes that wait for a disk to have room again */
	MAX_HELD = 256 << 10,     /* bytes of lines that wait for the line that refers to them */
};

const char *vcr_frame_type_name(enum vcr_frame_type t)
{
	static const char *const names[] = { "node", "tool", "llm", "error", "checkpoint" };
	return names[(unsigned)t < sizeof names / sizeof *names ? t : VCR_FRAME_NODE];
}

void vcr_frame_new_id(char id[37])
{
	unsigned char r[16];
	if (getrandom(r, sizeof r, GRND_NONBLOCK) != (ssize_t)sizeof r) {
		/* Early in boot: unique is enough. */
		static uint64_t count;
		struct timespec t;
		clock_gettime(CLOCK_REALTIME, &t);
		uint64_t a = (uint64_t)t.tv_sec << 30 ^ (uint64_t)t.tv_nsec, b = (uint64_t)getpid() << 32 ^ ++count;
		memcpy(r, &a, 8);
		memcpy(r + 8, &b, 8);
	}
	r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
	r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
	static const char hex[] = "0123456789abcdef";
	for (int i = 0, o = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			id[o++] = '-';
		id[o++] = hex[r[i] >> 4];
		id[o++] = hex[r[i] & 15];
		id[o] = 0;
	}
}

/* ---- Time ---- */

static void format_time(int64_t us, char out[40])
{
	time_t t = (time_t)(us / 1000000);
	struct tm tm;
	gmtime_r(&t, &tm);
	size_t n = strftime(out, 28, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 40 - n, ".%06u+00:00", (unsigned)(us % 1000000) % 1000000);
}

/* Now, or the time of the line before if the clock was set back since. */
static void next_time(struct vcr_session *s, char out[40])
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	int64_t us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
	if (us > s->last_us)
		s->last_us = us;
	format_time(s->last_us, out);
}

/* ---- Lines ---- */

static void count_written(struct vcr_session *s, const char *p, size_t n)
{
	EVP_DigestUpdate(s->chain, p, n);
	s->totals.bytes += (int64_t)n;
}

/* As much of p[0..n) as the disk takes; returns the bytes it took. */
static size_t write_some(struct vcr_session *s, const char *p, size_t n, int *sys)
{
	size_t done = 0;
	while (done < n) {
		ssize_t k = write(s->fd, p + done, n - done);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			s->sys = *sys = k < 0 ? errno : ENOSPC;
			break;
		}
		done += (size_t)k;
	}
	count_written(s, p, done);
	return done;
}

static void count_lost(struct vcr_session *s)
{
	s->totals.lost_lines = s->dropped;
	for (const char *p = s->backlog.data, *end = p + s->backlog.len; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
		s->totals.lost_lines++;
}

static void flush_backlog(struct vcr_session *s, int *sys)
{
	if (!s->backlog.len)
		return;
	vcr_buf_drop(&s->backlog, write_some(s, s->backlog.data, s->backlog.len, sys));
	count_lost(s);
}

/* Bodies among them may be gone: later ones are written whole. */
static void drop_lines(struct vcr_session *s, bool bodies)
{
	for (const char *p = s->line.data, *end = p + s->line.len; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
		s->dropped++;
	if (bodies)
		vcr_session_forget_bodies(s);
	count_lost(s);
}

/* Write the lines in s->line, or keep them for later. VCR_EIO: dropped. */
static int write_lines(struct vcr_session *s, struct vcr_error *e)
{
	int sys = 0;
	size_t done = 0;
	bool bodies = s->held;
	s->held = 0;
	vcr_session_name_keep(s->path, s->dir, s->spare, &s->fd, NULL); /* if it cannot be, the lines are still written */
	flush_backlog(s, &sys);
	if (!s->backlog.len)
		done = write_some(s, s->line.data, s->line.len, &sys);
	if (done == s->line.len)
		return 0;
	/* A line that was begun must be finished, however long it is. */
	bool keep = done || s->backlog.len + s->line.len <= MAX_BACKLOG;
	if (!keep || vcr_buf_add(&s->backlog, s->line.data + done, s->line.len - done)) {
		drop_lines(s, bodies);
		return vcr_error_sys(e, sys, "%s: a line could not be written and was dropped", s->path);
	}
	count_lost(s);
	return 0;
}

static int end_line(struct vcr_session *s, struct vcr_error *e)
{
	if (s->line.err || vcr_buf_putc(&s->line, '\n')) {
		int err = s->line.err;
		s->line.err = 0;
		vcr_buf_cut(&s->line, s->held);
		return vcr_error_set(e, err, "%s: a line could not be composed: %s", s->path, vcr_strerror(err));
	}
	return 0;
}

static int put_line(struct vcr_session *s, struct vcr_error *e)
{
	int err = end_line(s, e);
	return err ? err : write_lines(s, e);
}

/* A line that nothing refers to yet: the one that does comes at once, and is written with it. */
int vcr_session_hold_line(struct vcr_session *s, struct vcr_error *e)
{
	int err = end_line(s, e);
	s->held = s->line.len;
	return err || s->held < MAX_HELD ? err : write_lines(s, e);
}

static int write_held(struct vcr_session *s)
{
	vcr_buf_cut(&s->line, s->held);
	return s->held ? write_lines(s, NULL) : 0;
}

void vcr_session_begin_line(struct vcr_session *s, struct vcr_jw *w, const char *type)
{
	s->line.err = 0;
	vcr_buf_cut(&s->line, s->held);
	vcr_jw_init(w, &s->line);
	vcr_jw_object(w);
	vcr_jw_key(w, "type");
	vcr_jw_str(w, type);
	vcr_jw_key(w, "data");
}

static void add_member(struct vcr_jw *w, const char *key, const char *value)
{
	vcr_jw_key(w, key);
	vcr_jw_str(w, value);
}

static void add_int_or_null(struct vcr_jw *w, const char *key, int64_t v)
{
	vcr_jw_key(w, key);
	if (v < 0)
		vcr_jw_null(w);
	else
		vcr_jw_int(w, v);
}

/* A caller's JSON text, made fit. */
static void add_state(struct vcr_jw *w, const char *key, const char *json)
{
	vcr_jw_key(w, key);
	vcr_state_write(w->out, json);
	w->after_key = false;
}

/* The members of the object json (made fit), behind what stands in the open object. */
static void add_members_of(struct vcr_session *s, struct vcr_jw *w, const char *json)
{
	vcr_buf_reset(&s->scratch);
	if (json && !vcr_state_write(&s->scratch, json) && s->scratch.len > 2)
		vcr_jw_raw(w, s->scratch.data + 1, s->scratch.len - 2);
}

/* ---- Header ---- */

static void compose_head(struct vcr_buf *out, const struct vcr_session_options *o)
{
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	add_member(&w, "session_id", o->session_id);
	add_member(&w, "parent_session_id", o->parent_session_id);
	add_int_or_null(&w, "forked_from_frame", o->forked_from_frame);
	add_state(&w, "metadata", o->metadata_json);
	vcr_jw_key(&w, "tags");
	vcr_jw_array(&w);
	for (const char *const *t = o->tags; t && *t; t++)
		vcr_jw_str(&w, *t);
	vcr_jw_array_end(&w);
	vcr_jw_object_end(&w);
}

/* The session object, as that package's model dumps it. */
static void add_session_object(const struct vcr_session *s, struct vcr_jw *w, const char *updated, bool with_totals)
{
	vcr_jw_object(w);
	vcr_jw_raw(w, s->head.data + 1, s->head.len - 2);
	add_member(w, "created_at", s->created);
	add_member(w, "updated_at", updated);
	add_int_or_null(w, "frame_count", with_totals ? s->totals.frames : 0);
	add_int_or_null(w, "total_tokens", with_totals ? s->totals.tokens : 0);
	vcr_jw_key(w, "total_cost_usd");
	vcr_jw_double(w, with_totals ? s->totals.cost_usd : 0);
	vcr_jw_object_end(w);
}

static int write_header(struct vcr_session *s, struct vcr_error *e)
{
	struct vcr_jw w;
	int sys = 0;
	next_time(s, s->created);
	vcr_session_begin_line(s, &w, "session");
	add_session_object(s, &w, s->created, false);
	vcr_jw_object_end(&w);
	vcr_buf_putc(&s->line, '\n');
	if (s->line.err || s->head.err)
		return vcr_error_set(e, VCR_ENOMEM, "%s: no memory for its header", s->path);
	if (write_some(s, s->line.data, s->line.len, &sys) == s->line.len)
		return 0;
	return vcr_error_sys(e, sys, "%s: its header could not be written", s->path);
}

static struct vcr_session *new_session(const char *dir, const char *path, const char *id)
{
	struct vcr_session *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->fd = -1;
	vcr_buf_init(&s->head, 0);
	vcr_buf_init(&s->line, 0);
	vcr_buf_init(&s->backlog, 0);
	vcr_buf_init(&s->scratch, 0);
	s->dir = strdup(dir);
	s->path = strdup(path);
	s->id = strdup(id);
	s->chain = EVP_MD_CTX_new();
	s->hashed = vcr_prehash_new();
	if (s->dir && s->path && s->id && s->chain && EVP_DigestInit_ex(s->chain, vcr_sha256_md(), NULL))
		return s;
	vcr_session_free(s);
	return NULL;
}

static int not_made(const struct vcr_session *s, struct vcr_error *e)
{
	return errno == EEXIST ? vcr_error_set(e, VCR_EEXIST, "%s exists already; choose another session id", s->path)
		: vcr_error_sys(e, errno, "%s cannot be made", s->path);
}

/* Where a file cannot be without a name. */
static int make_named_file(struct vcr_session *s, struct vcr_error *e)
{
	s->fd = open(s->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return not_made(s, e);
	int err = write_header(s, e);
	if (err)
		unlink(s->path); /* ours, and without a header nobody's */
	return err;
}

/* The file gets its header before it gets its name, so that a writer who is killed here leaves nothing that is no session. */
static int make_file(struct vcr_session *s, struct vcr_error *e)
{
	char self[40];
	s->fd = open(s->dir, O_TMPFILE | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return make_named_file(s, e);
	int err = write_header(s, e);
	if (err)
		return err;
	snprintf(self, sizeof self, "/proc/self/fd/%d", s->fd);
	if (!linkat(AT_FDCWD, self, AT_FDCWD, s->path, AT_SYMLINK_FOLLOW))
		return 0;
	if (errno == EEXIST)
		return not_made(s, e);
	close(s->fd);
	s->totals.bytes = 0;
	return EVP_DigestInit_ex(s->chain, vcr_sha256_md(), NULL) ? make_named_file(s, e) : vcr_error_set(e, VCR_ENOMEM, "%s: no memory", s->path);
}

int vcr_session_create(struct vcr_session **out, const char *vcr_dir, const struct vcr_session_options *o, struct vcr_error *e)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	int err = vcr_paths_check_session_id(o->session_id, e);
	if (!err)
		err = vcr_paths_make_vcr_dir(vcr_dir, e);
	if (err)
		return err;
	vcr_buf_printf(&path, "%s/%s.vcr", vcr_dir, o->session_id);
	struct vcr_session *s = new_session(vcr_dir, path.data, o->session_id);
	if (!s)
		return vcr_error_set(e, VCR_ENOMEM, "%s: no memory", path.data);
	compose_head(&s->head, o);
	if ((err = make_file(s, e)) != 0) {
		vcr_session_free(s);
		return err;
	}
	*out = s;
	return 0;
}

const char *vcr_session_path(const struct vcr_session *s) { return s->path; }

/* ---- Reopening ---- */

static int recall_body(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	struct vcr_session *s = ctx;
	unsigned char sha256[VCR_SHA256];
	char *hex = vcr_json_strdup(j, vcr_json_get(j, data, "sha256")), *ref = vcr_json_strdup(j, vcr_json_get(j, data, "ref"));
	bool good = hex && ref && strlen(hex) == 2 * sizeof sha256;
	for (size_t i = 0; good && i < sizeof sha256; i++)
		good = sscanf(hex + 2 * i, "%2hhx", &sha256[i]) == 1;
	const char *dash = ref ? strchr(ref, '-') : NULL;
	int err = good ? vcr_session_remember_body(s, sha256, dash ? (unsigned)strtoul(dash + 1, NULL, 10) : 0) : 0;
	s->bodies++;
	free(hex);
	free(ref);
	return err;
}

static int hash_file(struct vcr_session *s, char *last, struct vcr_error *e)
{
	char *chunk = malloc(1 << 16);
	int fd = open(s->path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	*last = '\n';
	while (chunk && fd >= 0 && ((n = read(fd, chunk, 1 << 16)) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0) {
			count_written(s, chunk, (size_t)n);
			*last = chunk[n - 1];
		}
	int sys = chunk && fd >= 0 && n == 0 ? 0 : errno;
	free(chunk);
	if (fd >= 0)
		close(fd);
	return sys ? vcr_error_sys(e, sys, "%s cannot be read", s->path) : 0;
}

static void count_frame(struct vcr_session *s, bool llm, bool error, int64_t tokens, double cost)
{
	s->totals.frames++;
	s->totals.llm += llm;
	s->totals.errors += error;
	s->totals.tokens += tokens > 0 ? tokens : 0;
	s->totals.cost_usd += cost > 0 ? cost : 0;
}

static int recall_frames(struct vcr_session *s, struct vcr_reader *r)
{
	for (int64_t i = 0; i < vcr_reader_count(r); i++) {
		struct vcr_reader_frame f;
		int err = vcr_reader_frame(r, i, &f, NULL);
		if (err == VCR_ENOMEM)
			return err;
		if (err)
			continue;
		int64_t tokens = f.tokens >= 0 ? f.tokens : (f.tokens_in > 0 ? f.tokens_in : 0) + (f.tokens_out > 0 ? f.tokens_out : 0);
		count_frame(s, !strcmp(f.type, "llm"), !strcmp(f.type, "error"), tokens, f.cost_usd);
		if (f.time_ns / 1000 > s->last_us)
			s->last_us = f.time_ns / 1000;
	}
	return 0;
}

static int recall(struct vcr_session *s, struct vcr_reader *r, struct vcr_error *e)
{
	const struct vcr_reader_session *head = vcr_reader_session(r);
	const char **tags = calloc((size_t)head->ntags + 1, sizeof *tags);
	if (!tags)
		return vcr_error_set(e, VCR_ENOMEM, "%s: no memory", s->path);
	for (int i = 0; i < head->ntags; i++)
		tags[i] = head->tags[i];
	struct vcr_session_options o = { s->id, head->parent_session_id, head->forked_from_frame, head->metadata_json, tags };
	compose_head(&s->head, &o);
	free(tags);
	format_time(head->created_ns / 1000, s->created);
	s->last_us = head->created_ns / 1000;
	int err = recall_frames(s, r);
	if (!err)
		err = vcr_reader_each(r, "vcr.body", recall_body, s, e);
	return err || s->head.err ? vcr_error_set(e, err ? err : s->head.err, "%s cannot be taken up again", s->path) : 0;
}

int vcr_session_reopen(struct vcr_session **out, const char *path, struct vcr_error *e)
{
	struct vcr_reader *r = NULL;
	int err = vcr_reader_open(&r, path, NULL, NULL, e);
	if (err)
		return err;
	const char *slash = strrchr(path, '/'), *id = vcr_reader_session(r)->session_id;
	char *dir = slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
	struct vcr_session *s = dir && *id ? new_session(slash == path ? "/" : dir, path, id) : NULL;
	free(dir);
	if (!s)
		err = vcr_error_set(e, *id ? VCR_ENOMEM : VCR_ESYNTAX, "%s: %s", path, *id ? "no memory" : "no session header, so nothing can be added");
	else
		err = recall(s, r, e);
	vcr_reader_free(r);
	char last = '\n';
	if (!err)
		err = hash_file(s, &last, e);
	if (!err && (s->fd = open(path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) < 0)
		err = vcr_error_sys(e, errno, "%s cannot be opened for writing", path);
	if (err) {
		vcr_session_free(s);
		return err;
	}
	if (last != '\n')
		vcr_buf_putc(&s->backlog, '\n');
	*out = s;
	return 0;
}

void vcr_session_set_spare(struct vcr_session *s, const char *spare)
{
	if (s->spare || (link(s->path, spare) && errno != EEXIST))
		return;
	s->spare = strdup(spare);
}

/* ---- Frames and records ---- */

static void add_custom(struct vcr_session *s, struct vcr_jw *w, const struct vcr_frame *f)
{
	VCR_AUTO_BUF members = VCR_BUF_INIT;
	vcr_jw_key(w, "custom");
	vcr_jw_object(w);
	vcr_jw_key(w, "vcr");
	vcr_jw_object(w);
	vcr_jw_key(w, "format");
	vcr_jw_int(w, FORMAT);
	add_members_of(s, w, f->vcr_json);
	vcr_jw_object_end(w);
	if (f->custom_json && *f->custom_json && !vcr_buf_printf(&members, "{%s}", f->custom_json))
		add_members_of(s, w, members.data);
	vcr_jw_object_end(w);
}

static void add_metadata(struct vcr_session *s, struct vcr_jw *w, const struct vcr_frame *f)
{
	vcr_jw_key(w, "metadata");
	vcr_jw_object(w);
	add_member(w, "model", f->model);
	vcr_jw_key(w, "latency_ms");
	vcr_jw_double(w, f->latency_ms >= 0 && f->latency_ms < 1e15 ? f->latency_ms : 0);
	add_int_or_null(w, "tokens_used", f->tokens_total);
	add_int_or_null(w, "tokens_input", f->tokens_in);
	add_int_or_null(w, "tokens_output", f->tokens_out);
	vcr_jw_key(w, "cost_usd");
	if (f->cost_usd >= 0)
		vcr_jw_double(w, f->cost_usd);
	else
		vcr_jw_null(w);
	add_member(w, "error_type", f->error_type);
	add_member(w, "error_message", f->error_message);
	add_custom(s, w, f);
	vcr_jw_object_end(w);
}

/* state_diff must be null or a list of objects. */
static void add_state_diff(struct vcr_jw *w, const char *json)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	vcr_jw_key(w, "state_diff");
	bool good = json && !vcr_json_parse(&j, json, strlen(json), 0, NULL) && vcr_json_type(&j, 0) == VCR_JSON_ARRAY;
	for (int m = vcr_json_first(&j, 0); good && m >= 0; m = vcr_json_next(&j, m))
		good = vcr_json_type(&j, m) == VCR_JSON_OBJECT;
	if (good)
		vcr_jw_value(w, &j, 0);
	else
		vcr_jw_null(w);
}

int vcr_session_add_frame(struct vcr_session *s, struct vcr_frame *f, int64_t *index, struct vcr_error *e)
{
	struct vcr_jw w;
	char time[40];
	if (!f->frame_id[0])
		vcr_frame_new_id(f->frame_id);
	next_time(s, time);
	vcr_session_begin_line(s, &w, "frame");
	vcr_jw_object(&w);
	add_member(&w, "frame_id", f->frame_id);
	add_member(&w, "session_id", s->id);
	add_member(&w, "parent_frame_id", f->parent_frame_id && *f->parent_frame_id ? f->parent_frame_id : NULL);
	add_member(&w, "timestamp", time);
	add_member(&w, "frame_type", vcr_frame_type_name(f->type));
	add_member(&w, "node_name", f->node_name ? f->node_name : "");
	add_state(&w, "input_state", f->input_json);
	add_state(&w, "output_state", f->output_json);
	add_metadata(s, &w, f);
	add_state_diff(&w, f->state_diff_json);
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
	int err = put_line(s, e);
	if (err)
		return err;
	if (index)
		*index = s->totals.frames;
	int64_t tokens = f->tokens_total >= 0 ? f->tokens_total : (f->tokens_in > 0 ? f->tokens_in : 0) + (f->tokens_out > 0 ? f->tokens_out : 0);
	count_frame(s, f->type == VCR_FRAME_LLM, f->type == VCR_FRAME_ERROR, tokens, f->cost_usd);
	return 0;
}

int vcr_session_add_record(struct vcr_session *s, const char *kind, const char *data_json, struct vcr_error *e)
{
	struct vcr_jw w;
	char type[64];
	snprintf(type, sizeof type, "vcr.%s", kind);
	vcr_session_begin_line(s, &w, type);
	vcr_state_write(&s->line, data_json);
	w.after_key = false;
	vcr_jw_object_end(&w);
	return put_line(s, e);
}

/* ---- The end ---- */

static void compose_end(struct vcr_session *s, const char *extra_json)
{
	struct vcr_jw w;
	char time[40];
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned nsum = 0;
	EVP_MD_CTX *copy = EVP_MD_CTX_new();
	if (copy && EVP_MD_CTX_copy_ex(copy, s->chain)) {
		EVP_DigestUpdate(copy, s->backlog.data, s->backlog.len);
		EVP_DigestFinal_ex(copy, sum, &nsum);
	}
	EVP_MD_CTX_free(copy);
	next_time(s, time);
	vcr_session_begin_line(s, &w, "vcr.end");
	vcr_jw_object(&w);
	vcr_jw_key(&w, "format");
	vcr_jw_int(&w, FORMAT);
	add_member(&w, "ended_at", time);
	add_int_or_null(&w, "frames", s->totals.frames);
	add_int_or_null(&w, "llm", s->totals.llm);
	add_int_or_null(&w, "errors", s->totals.errors);
	add_int_or_null(&w, "bodies", s->bodies);
	add_int_or_null(&w, "tokens", s->totals.tokens);
	vcr_jw_key(&w, "cost_usd");
	vcr_jw_double(&w, s->totals.cost_usd);
	add_int_or_null(&w, "lost_lines", s->totals.lost_lines);
	add_int_or_null(&w, "bytes", s->totals.bytes);
	vcr_jw_key(&w, "sha256");
	vcr_jw_raw(&w, "\"", 1);
	vcr_buf_hex(&s->line, sum, nsum);
	vcr_buf_putc(&s->line, '"');
	add_members_of(s, &w, extra_json);
	vcr_jw_object_end(&w);
	vcr_jw_object_end(&w);
}

static int list_in_manifest(struct vcr_session *s, struct vcr_error *e)
{
	VCR_AUTO_BUF entry = VCR_BUF_INIT;
	struct vcr_jw w;
	char time[40];
	vcr_jw_init(&w, &entry);
	next_time(s, time);
	add_session_object(s, &w, time, true);
	return entry.err ? vcr_error_set(e, entry.err, "manifest.json: no memory") : vcr_manifest_put(s->dir, s->id, entry.data, time, e);
}

/* A large file is read once more, from the cache, so that whoever opens it finds an index. */
static void leave_index(const struct vcr_session *s)
{
	struct vcr_reader *r;
	if (s->totals.bytes >= VCR_INDEX_BYTES && !vcr_reader_open(&r, s->path, NULL, NULL, NULL))
		vcr_reader_free(r);
}

int vcr_session_end(struct vcr_session *s, const char *extra_json, struct vcr_error *e)
{
	int sys = 0;
	write_held(s);
	flush_backlog(s, &sys);
	compose_end(s, extra_json);
	int err = put_line(s, e);
	if (!err && s->backlog.len)
		err = vcr_error_set(e, VCR_EIO, "%s did not take its last %lld lines: %s", s->path, (long long)s->totals.lost_lines,
			strerror(s->sys));
	int listed = list_in_manifest(s, err ? NULL : e);
	if (!access(s->path, F_OK) && s->spare)
		unlink(s->spare);
	leave_index(s);
	vcr_session_free(s);
	return err ? err : listed;
}

void vcr_session_free(struct vcr_session *s)
{
	if (!s)
		return;
	if (s->fd >= 0) {
		write_held(s);
		close(s->fd);
	}
	vcr_session_forget_bodies(s);
	EVP_MD_CTX_free(s->chain);
	vcr_prehash_free(s->hashed);
	vcr_buf_release(&s->head);
	vcr_buf_release(&s->line);
	vcr_buf_release(&s->backlog);
	vcr_buf_release(&s->scratch);
	free(s->dir);
	free(s->path);
	free(s->spare);
	free(s->id);
	free(s);
}

void vcr_session_totals(const struct vcr_session *s, struct vcr_session_totals *t)
{
	*t = s->totals;
}
