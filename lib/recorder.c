#include "recorder-parts.h"
#include "canon.h"
#include "limits.h"
#include "paths.h"
#include "reader.h"
#include "session-name.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- Small things ---- */

void vcr_recorder_time(const struct vcr_recorder *r, uint64_t mono_ns, char out[40])
{
	int64_t ns = (int64_t)r->real_ns + (int64_t)(mono_ns - r->mono_ns);
	time_t s = (time_t)(ns / 1000000000);
	struct tm tm;
	if (ns < 0 || !gmtime_r(&s, &tm))
		memset(&tm, 0, sizeof tm);
	size_t n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 40 - n, ".%06u+00:00", (unsigned)(ns % 1000000000 / 1000) % 1000000u);
}

void vcr_recorder_redacted(struct vcr_recorder *r, struct vcr_jw *w, const char *s, size_t n)
{
	VCR_AUTO_BUF clean = VCR_BUF_INIT;
	unsigned count = 0;
	if (vcr_redact(r->redact, s, n, &clean, &count)) {
		vcr_jw_str(w, "{{vcr:lost}}"); /* rather nothing than something unredacted */
		return;
	}
	r->redactions += count;
	vcr_jw_strn(w, clean.data, clean.len);
}

static uint64_t mark_hash(char kind, uint64_t seq, const char *name)
{
	uint64_t h = 1469598103934665603ull ^ (uint64_t)(unsigned char)kind;
	for (int i = 0; i < 8; i++)
		h = (h ^ (seq >> 8 * i & 255)) * 1099511628211ull;
	for (; name && *name; name++)
		h = (h ^ (uint64_t)(unsigned char)*name) * 1099511628211ull;
	return h;
}

static int by_hash(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

bool vcr_recorder_was_written(const struct vcr_recorder *r, char kind, uint64_t seq, const char *name)
{
	uint64_t h = mark_hash(kind, seq, name);
	return r->ndone && bsearch(&h, r->done, r->ndone, sizeof h, by_hash);
}

/* ---- The session file ---- */

bool vcr_recorder_ready(struct vcr_recorder *r)
{
	if (r->session || r->session_failed)
		return r->session != NULL;
	if (vcr_session_create(&r->session, r->vcr_dir, &r->session_options, &r->last_error)) {
		r->session = NULL;
		r->session_failed = true;
		return false;
	}
	if (*r->spare)
		vcr_session_set_spare(r->session, r->spare);
	if (!r->source)
		vcr_recorder_write_context(r);
	return true;
}

int vcr_recorder_frame(struct vcr_recorder *r, struct vcr_frame *f)
{
	if (!vcr_recorder_ready(r)) {
		r->lost++;
		return VCR_EIO;
	}
	return vcr_session_add_frame(r->session, f, NULL, &r->last_error);
}

/* Remember what the frames of an earlier recorder were made from. */
static int collect_done(struct vcr_recorder *r, struct vcr_reader *in)
{
	int64_t n = vcr_reader_count(in);
	r->done = calloc((size_t)n + 1, sizeof *r->done);
	if (!r->done)
		return VCR_ENOMEM;
	for (int64_t i = 0; i < n; i++) {
		struct vcr_reader_frame f;
		int64_t seq;
		if (vcr_reader_frame(in, i, &f, NULL) || !vcr_json_int(f.j, vcr_json_get(f.j, f.vcr, "seq"), &seq))
			continue;
		char *path = vcr_json_strdup(f.j, vcr_json_get(f.j, f.input, "path"));
		bool file = !strncmp(f.node_name, "file:", 5);
		r->done[r->ndone++] = mark_hash(file ? 'f' : !strncmp(f.node_name, "exec:", 5) ? 'x' : 'c', (uint64_t)seq, file ? path : NULL);
		free(path);
	}
	for (int64_t i = 0; i < n; i++) {
		struct vcr_reader_frame f;
		if (!vcr_reader_frame(in, i, &f, NULL))
			vcr_recorder_tools_again(r, &f);
	}
	if (r->ndone)
		qsort(r->done, r->ndone, sizeof *r->done, by_hash);
	return 0;
}

/* The session file's second name: where an agent's git clean does not come. */
static void name_spare(struct vcr_recorder *r)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	if (vcr_paths_state_dir(r->workspace, &path, NULL) || vcr_buf_puts(&path, "/live") || (mkdir(path.data, 0700) && errno != EEXIST) ||
	    vcr_buf_printf(&path, "/%s.vcr", r->session_id) || path.len >= sizeof r->spare)
		return;
	memcpy(r->spare, path.data, path.len + 1);
}

/* A session file that is there already is one of a collector of this session that died. */
static void go_on(struct vcr_recorder *r)
{
	VCR_AUTO_BUF path = VCR_BUF_INIT;
	struct vcr_reader *in;
	vcr_buf_printf(&path, "%s/%s.vcr", r->vcr_dir, r->session_id);
	if (r->spool->head <= VCR_SPOOL_HEADER && !r->salvage && r->spool->collector == VCR_COLLECTOR_NONE)
		return;
	if (*r->spare)
		vcr_session_name_restore(path.data, r->vcr_dir, r->spare);
	if (access(path.data, F_OK) || vcr_reader_open(&in, path.data, NULL, NULL, NULL))
		return;
	if (collect_done(r, in) || vcr_session_reopen(&r->session, path.data, &r->last_error))
		r->session = NULL;
	else if (*r->spare)
		vcr_session_set_spare(r->session, r->spare);
	vcr_reader_free(in);
}

/* ---- Programs and connections ---- */

static struct conn *conn_of(struct vcr_recorder *r, uint32_t id, bool make)
{
	struct conn **slot = &r->conn[id % BUCKETS];
	for (struct conn *c = *slot; c; c = c->next)
		if (c->id == id)
			return c;
	struct conn *c = make ? calloc(1, sizeof *c) : NULL;
	if (!c)
		return NULL;
	c->id = id;
	c->next = *slot;
	return *slot = c;
}

const char *vcr_recorder_told(struct vcr_recorder *r, uint32_t conn)
{
	const struct conn *c = conn_of(r, conn, false);
	return c ? c->told : NULL;
}

bool vcr_recorder_by_gate(struct vcr_recorder *r, uint32_t conn)
{
	const struct conn *c = conn_of(r, conn, false);
	return c && c->gate;
}

static void forget_conn(struct vcr_recorder *r, uint32_t id)
{
	for (struct conn **p = &r->conn[id % BUCKETS]; *p; p = &(*p)->next)
		if ((*p)->id == id) {
			struct conn *gone = *p;
			*p = gone->next;
			vcr_recorder_rpc_end(gone->rpc, r->event_ns);
			free(gone->told);
			free(gone);
			return;
		}
}

/* The servers of process pid (0: all) ask and answer no more. */
void vcr_recorder_end_rpc(struct vcr_recorder *r, int pid, uint64_t mono_ns)
{
	for (int i = 0; i < BUCKETS; i++)
		for (struct conn *c = r->conn[i]; c; c = c->next)
			if (c->rpc && (!pid || c->pid == pid)) {
				vcr_recorder_rpc_end(c->rpc, mono_ns);
				c->rpc = NULL;
			}
}

uint64_t vcr_recorder_needed(const struct vcr_recorder *r, uint64_t position)
{
	for (int i = 0; i < BUCKETS; i++)
		for (const struct conn *c = r->conn[i]; c; c = c->next)
			if (c->first_seq && c->first_seq < position)
				position = c->first_seq;
	return position;
}

size_t vcr_recorder_take_mutes(struct vcr_recorder *r, uint32_t *conn, size_t n)
{
	size_t k = r->nmute < n ? r->nmute : n;
	memcpy(conn, r->mute, k * sizeof *conn);
	memmove(r->mute, r->mute + k, (r->nmute - k) * sizeof *conn);
	r->nmute -= k;
	return k;
}

size_t vcr_recorder_take_pids(struct vcr_recorder *r, int *pid, size_t n)
{
	size_t k = r->npid < n ? r->npid : n;
	memcpy(pid, r->pid, k * sizeof *pid);
	memmove(r->pid, r->pid + k, (r->npid - k) * sizeof *pid);
	r->npid -= k;
	return k;
}

/* ---- What the flow says ---- */

bool vcr_recorder_is_behind(const struct vcr_recorder *r)
{
	return __atomic_load_n(&r->spool->tail, __ATOMIC_ACQUIRE) > r->event_end;
}

uint64_t vcr_recorder_as_read(const struct vcr_recorder *r, uint64_t mono_ns)
{
	return vcr_recorder_is_behind(r) && r->event_ns && r->event_ns < mono_ns ? r->event_ns : mono_ns;
}

/* Is the answer to a request of then still held in the gate, so that nobody has acted upon it? */
static bool is_held(uint64_t time_ns)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec < time_ns + VCR_HOLD_MS / 2 * 1000000ull;
}

static int save_call(struct vcr_recorder *r, uint64_t time_ns, struct vcr_savepoint *p)
{
	return vcr_recorder_save(r, "call", NULL, NULL, (int64_t)(r->real_ns + (time_ns - r->mono_ns)), p);
}

/* A call begins in the gate. What its savepoint is does not depend on its bytes: when nothing has changed it is the one before, and nobody needs to wait until
 * they are read. Otherwise on_request will look, when the secrets of the request have been learnt: what has changed may hold them. */
static void look_early(struct vcr_recorder *r, struct conn *c, uint64_t time_ns)
{
	struct vcr_savepoint p;
	if (!is_held(time_ns) || !r->files)
		return;
	vcr_recorder_watch(r);
	if (r->ndirty || vcr_files_pending(r->files))
		return;
	vcr_spool_clean(r->spool, r->event_end);
	strcpy(c->before, save_call(r, time_ns, &p) ? "" : p.commit);
	vcr_recorder_sentinel_asked(r);
	r->clean = c->clean = true;
}

bool vcr_recorder_take_clean(struct vcr_recorder *r)
{
	bool clean = r->clean;
	r->clean = false;
	return clean;
}

static void look(struct vcr_recorder *r, const struct conn *c, uint64_t time_ns)
{
	vcr_recorder_notes_read(r);
	bool behind = vcr_recorder_is_behind(r) && !(c && c->gate && is_held(time_ns));
	if (!behind)
		vcr_recorder_watch(r);
	vcr_recorder_sweep(r, behind ? (int64_t)time_ns : INT64_MAX);
	if (!r->ndirty) /* then the savepoint is what the last one was: nobody needs to wait for it */
		vcr_spool_acted(r->spool, r->event_end);
}

static void keep_savepoint(struct vcr_recorder *r, struct conn *c, const char *commit)
{
	unsigned at = c->nsavepoint++ % SHARED;
	c->savepoint[at].seq = r->event_seq;
	strcpy(c->savepoint[at].commit, commit);
}

static int on_request(void *ctx, const struct vcr_call *call, uint64_t time_ns)
{
	struct vcr_recorder *r = ctx;
	struct conn *c = conn_of(r, call->conn, false);
	struct vcr_savepoint p;
	/* Who asks, waits, so the request is usually the last record, and what inotify knows happened before it. With others behind it, files may be
	 * of later: of a time whose secrets have not been learnt yet. */
	/* Files written before it may hold the key that it carries. */
	vcr_redact_learn_request(r->redact, call->req_field, call->nreq_field, call->target, "", 0);
	if (c && c->clean) { /* its answer may have been acted upon by now */
		c->clean = false;
		keep_savepoint(r, c, c->before);
	} else {
		look(r, c, time_ns);
		if (c)
			keep_savepoint(r, c, save_call(r, time_ns, &p) ? "" : p.commit);
	}
	vcr_recorder_sentinel_asked(r);
	vcr_recorder_burst_end(r);
	if (r->files)
		vcr_files_period(r->files);
	return 0;
}

static const char *savepoint_of(const struct conn *c, uint64_t mark)
{
	for (unsigned i = 0; c && i < SHARED; i++)
		if (c->savepoint[i].seq == mark && *c->savepoint[i].commit)
			return c->savepoint[i].commit;
	return NULL;
}

static int on_call(void *ctx, const struct vcr_call *c)
{
	struct vcr_recorder *r = ctx;
	struct conn *conn = conn_of(r, c->conn, false);
	/* Of a connection that carries one call at a time it is the first record, in which the request's head may only begin. */
	r->call_seq = c->http2 || c->websocket ? c->mark : conn ? conn->first_seq : 0;
	r->call_savepoint = savepoint_of(conn, c->mark);
	struct coverage *cov = vcr_recorder_coverage(r, c->pid);
	if (vcr_recorder_is_model_call(c)) {
		r->calls++;
		if (cov)
			cov->calls++;
		vcr_recorder_spoke(r, c->pid, conn && conn->gate);
	}
	vcr_recorder_call(r, c);
	if (conn)
		conn->first_seq = 0;
	r->call_savepoint = NULL;
	return 0;
}

static void on_mute(void *ctx, uint32_t conn)
{
	struct vcr_recorder *r = ctx;
	if (r->nmute < MAX_PENDING)
		r->mute[r->nmute++] = conn;
	forget_conn(r, conn);
}

static void on_unseen(void *ctx, uint32_t conn, const char *why)
{
	struct vcr_recorder *r = ctx;
	forget_conn(r, conn);
	vcr_recorder_unseen(r, why);
}

/* ---- Making ---- */

static void touched(void *recorder, const char *path, bool deep)
{
	vcr_recorder_dirty(recorder, path, deep);
}

static void aged(void *recorder, const char *path, int64_t mtime_ns)
{
	vcr_recorder_aged(recorder, path, mtime_ns);
}

int vcr_recorder_new(struct vcr_recorder **out, const struct vcr_recorder_options *o, struct vcr_error *e)
{
	static const struct vcr_flow_events events = { on_request, on_call, on_mute, on_unseen };
	struct vcr_recorder *r = calloc(1, sizeof *r);
	if (!r)
		return vcr_error_set(e, VCR_ENOMEM, "recorder: out of memory");
	vcr_buf_init(&r->unseen, 64 << 10);
	vcr_buf_init(&r->dotenv, 64 << 10);
	vcr_buf_init(&r->times, 2 * VCR_TIMES_LINES);
	vcr_buf_init(&r->command, 1 << 20);
	r->spool = o->spool;
	r->workspace = strdup(o->spool->workspace);
	r->vcr_dir = strdup(o->spool->vcr_dir);
	r->session_id = strdup(o->spool->session);
	r->metadata_json = o->metadata_json ? strdup(o->metadata_json) : NULL;
	r->real_ns = o->spool->real_ns;
	r->mono_ns = o->spool->mono_ns;
	r->salvage = o->salvage;
	if (!(o->spool->flags & VCR_SPOOL_ANSWERS))
		memcpy(r->stood, o->spool->stood, strnlen(o->spool->stood, sizeof r->stood - 1));
	r->source = o->source;
	r->burst_limit = o->config->burst;
	r->quota = o->config->quota;
	r->leave_ignored = o->config->leave_ignored;
	r->notes_fd = r->notes_watch = -1;
	r->session_options = (struct vcr_session_options){ .session_id = r->session_id, .forked_from_frame = -1, .metadata_json = r->metadata_json, .tags = o->tags };
	r->flow = vcr_flow_new(&events, r, (const char *const *)o->config->model_hosts, o->config->capture_all);
	r->redact = vcr_redact_new();
	r->conv = vcr_conv_new();
	r->pair = vcr_pair_new(vcr_recorder_tool, r);
	r->asked = vcr_prehash_new(); /* without: each is hashed as a whole */
	r->answering = "";
	if (!r->workspace || !r->vcr_dir || !r->session_id || !r->flow || !r->redact || !r->conv || !r->pair || vcr_recorder_make_ignore(r, o->config->ignore)) {
		vcr_recorder_free(r);
		return vcr_error_set(e, VCR_ENOMEM, "recorder: out of memory");
	}
	struct vcr_files_options fo = { .workspace = r->workspace, .max_paths = o->config->known_files, .max_watches = o->config->watched_directories,
		 .ignore = (const char *const *)r->ignore, .is_secret = vcr_redact_is_secret_file, .who = vcr_recorder_who, .lived = vcr_recorder_lived, .touched = touched, .aged = aged, .ctx = r };
	if (r->source || vcr_files_new(&r->files, &fo, &r->last_error))
		r->files = NULL;
	if (vcr_prices_load(&r->prices, o->prices_path, o->config->prices, &r->last_error))
		r->prices = NULL;
	if (!r->source)
		vcr_recorder_learn_on(r);
	vcr_recorder_learn_start(r, o->environ);
	if (!r->source) {
		name_spare(r);
		vcr_recorder_notes_open(r);
		go_on(r);
	}
	if (o->judge && !r->source)
		vcr_recorder_sentinel_new(r, o->judge, o->judge_argv);
	if (o->test_command && !r->source && !r->salvage)
		vcr_recorder_tests_new(r, o);
	if (o->eager)
		vcr_recorder_ready(r);
	*out = r;
	return 0;
}

void vcr_recorder_free(struct vcr_recorder *r)
{
	if (!r)
		return;
	for (int i = 0; i < BUCKETS; i++) {
		for (struct process *p = r->process[i], *next; p; p = next) {
			next = p->next;
			vcr_recorder_run_release(&p->run);
			free(p->program);
			free(p->before);
			free(p->tool_call);
			free(p);
		}
		for (struct conn *c = r->conn[i], *next; c; c = next) {
			next = c->next;
			vcr_recorder_rpc_free(c->rpc);
			free(c->told);
			free(c);
		}
	}
	vcr_recorder_tests_free(r);
	vcr_recorder_sentinel_free(r);
	vcr_recorder_coverage_free(r);
	vcr_recorder_notes_free(r);
	vcr_recorder_notes_close(r, false);
	vcr_flow_free(r->flow);
	vcr_redact_free(r->redact);
	vcr_recorder_save_close(r);
	vcr_recorder_burst_free(r);
	vcr_files_free(r->files);
	vcr_conv_free(r->conv);
	vcr_pair_free(r->pair);
	vcr_prehash_free(r->asked);
	vcr_prices_free(r->prices);
	vcr_session_free(r->session);
	vcr_buf_release(&r->unseen);
	vcr_buf_release(&r->dotenv);
	vcr_buf_release(&r->times);
	vcr_buf_release(&r->command);
	free(r->workspace);
	free(r->vcr_dir);
	free(r->session_id);
	free(r->metadata_json);
	for (char **p = r->ignore; p && *p; p++)
		free(*p);
	free(r->ignore);
	free(r->done);
	vcr_recorder_forget_stood(r);
	free(r);
}

void vcr_recorder_scan(struct vcr_recorder *r)
{
	vcr_recorder_sweep(r, INT64_MAX);
	if (r->files)
		vcr_files_scan_base(r->files, &r->last_error);
	vcr_recorder_save_base(r);
	vcr_recorder_sentinel_ready(r);
}

int vcr_recorder_watch_fd(const struct vcr_recorder *r)
{
	return r->files ? vcr_files_watch_fd(r->files) : -1;
}

void vcr_recorder_watch(struct vcr_recorder *r)
{
	if (r->files)
		vcr_files_read_watch(r->files);
}

/* ---- Events ---- */

static void on_conn(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	struct vcr_rec_conn rec;
	if (ev->size < sizeof rec)
		return;
	memcpy(&rec, ev->payload, sizeof rec);
	struct conn *c = conn_of(r, ev->conn, true);
	if (rec.kind == VCR_CONN_PIPE) {
		if (c)
			c->pid = ev->pid;
		if (c && !c->rpc)
			c->rpc = vcr_recorder_rpc_new(r, ev->pid, ev->conn, vcr_spool_string(ev, sizeof rec, 0));
		return;
	}
	struct coverage *cov = vcr_recorder_coverage(r, ev->pid);
	bool tls = rec.kind == VCR_CONN_TLS, by_gate = rec.fd == VCR_CONN_BY_GATE || rec.fd == VCR_CONN_RELAYED;
	if (c) {
		c->pid = ev->pid;
		c->tls = tls;
		c->gate = by_gate;
		c->gate_start = r->spool->gate.start;
		if (c->gate)
			c->first_seq = ev->seq; /* one exchange a connection: a collector that takes over shall see it too */
	}
	if (cov)
		++*(tls ? &cov->tls : &cov->plain);
	if (cov && by_gate)
		cov->gated++;
	++*(tls ? &r->conns_tls : &r->conns_plain);
	vcr_flow_open(r->flow, ev->conn, ev->pid, tls, vcr_spool_string(ev, sizeof rec, 0), vcr_spool_string(ev, sizeof rec, 1), ev->time_ns);
	if (c && rec.fd == VCR_CONN_BY_GATE)
		look_early(r, c, ev->time_ns);
}

static void on_bytes(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	struct conn *c = conn_of(r, ev->conn, false);
	if (c && c->rpc) { /* the server's own side: what it reads is the client's */
		if (vcr_recorder_rpc_feed(c->rpc, ev->type == VCR_REC_OUT, ev->payload, ev->size, ev->time_ns))
			on_mute(r, ev->conn);
		return;
	}
	struct coverage *cov = vcr_recorder_coverage(r, ev->pid);
	if (!c && !(c = conn_of(r, ev->conn, ev->type == VCR_REC_OUT)))
		return; /* muted, or its beginning was never seen */
	if (!c->pid) { /* a collector that took over: the connection's own record is gone */
		c->pid = ev->pid;
		vcr_flow_open(r->flow, ev->conn, ev->pid, true, "", "", ev->time_ns);
	}
	if (cov)
		*(ev->type == VCR_REC_OUT ? &cov->bytes_out : &cov->bytes_in) += ev->size;
	if (ev->type == VCR_REC_OUT && !c->first_seq)
		c->first_seq = ev->seq;
	vcr_flow_mark(r->flow, ev->seq);
	if (ev->type == VCR_REC_OUT)
		vcr_flow_out(r->flow, ev->conn, ev->pid, ev->tid, ev->payload, ev->size, ev->time_ns);
	else
		vcr_flow_in(r->flow, ev->conn, ev->payload, ev->size, ev->time_ns);
}

static void on_close(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	int32_t reason = 0;
	if (ev->size >= sizeof reason)
		memcpy(&reason, ev->payload, sizeof reason);
	vcr_flow_close(r->flow, ev->conn, reason, ev->time_ns);
	forget_conn(r, ev->conn);
}

/* An absolute path, where it is told from the workspace on. */
static const char *absolute(const struct vcr_recorder *r, const char *path, char out[2 * PATH_MAX])
{
	if (!*path || *path == '/')
		return path;
	int n = snprintf(out, 2 * PATH_MAX, "%s/%s", r->workspace, path);
	return n < 2 * PATH_MAX ? out : "";
}

static void on_file(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	char whole[2][2 * PATH_MAX];
	struct vcr_rec_file rec;
	if (!r->files || ev->size < sizeof rec)
		return;
	memcpy(&rec, ev->payload, sizeof rec);
	const char *path = vcr_spool_string(ev, sizeof rec, 0), *path2 = absolute(r, vcr_spool_string(ev, sizeof rec, 1), whole[1]);
	if (rec.op != VCR_FILE_LINK || !(rec.flags & 1)) /* that one's is a link's text */
		path = absolute(r, path, whole[0]);
	enum vcr_mark_op op;
	switch (rec.op) {
	case VCR_FILE_OPEN:
		op = rec.flags & O_TRUNC || (rec.flags & O_CREAT && rec.existed == 0) ? VCR_MARK_BEGIN : VCR_MARK_OPEN;
		break;
	case VCR_FILE_WRITE: case VCR_FILE_TRUNCATE: op = VCR_MARK_WRITE; break;
	case VCR_FILE_CLOSE: op = VCR_MARK_CLOSE; break;
	case VCR_FILE_RENAME: op = VCR_MARK_RENAME; break;
	case VCR_FILE_EXCHANGE: op = VCR_MARK_EXCHANGE; break;
	case VCR_FILE_UNLINK: op = VCR_MARK_UNLINK; break;
	case VCR_FILE_LINK: op = VCR_MARK_LINK; break;
	case VCR_FILE_MKDIR: op = VCR_MARK_MKDIR; break;
	case VCR_FILE_RMDIR: op = VCR_MARK_RMDIR; break;
	case VCR_FILE_MODE: op = VCR_MARK_MODE; break;
	case VCR_FILE_DEEP: op = VCR_MARK_DEEP; break;
	default: return;
	}
	vcr_recorder_learn_later(r, rec.op == VCR_FILE_RENAME ? path2 : path);
	vcr_files_mark(r->files, op, path, path2, ev->pid, (int64_t)ev->time_ns);
	if (rec.op == VCR_FILE_OPEN && ev->closed)
		vcr_files_mark(r->files, VCR_MARK_CLOSE, path, path2, ev->pid, (int64_t)ev->closed_ns);
}

/* What could not be seen is worth a session: without one nobody would learn of it. */
/* Of a call whose answer has not come yet. */
static void on_told(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	struct conn *c = conn_of(r, ev->conn, false);
	if (!c || !ev->size)
		return;
	free(c->told);
	c->told = strndup(ev->payload, ev->size);
}

static void on_note(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	if (ev->size)
		vcr_recorder_note(r, ev->payload, ev->size, ev->pid, ev->tid, ev->time_ns, ev->seq);
	else
		vcr_recorder_notes_read(r);
}

static void on_exit_record(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	struct vcr_rec_exit rec;
	if (ev->size < sizeof rec)
		return;
	memcpy(&rec, ev->payload, sizeof rec);
	vcr_recorder_exit(r, rec.child, &rec.status, ev->time_ns);
	struct process *p = rec.source == VCR_EXIT_WAIT ? vcr_recorder_process(r, rec.child, false) : NULL;
	if (p)
		p->waited = true;
}

void vcr_recorder_event(struct vcr_recorder *r, const struct vcr_spool_event *ev)
{
	struct process *p = NULL;
	if (ev->pid > 0) { /* 0: somebody from outside says it */
		vcr_recorder_forget_namesake(r, ev->pid);
		p = vcr_recorder_process(r, ev->pid, true);
	}
	r->event_seq = ev->seq;
	r->event_ns = ev->time_ns;
	r->event_end = ev->seq + (sizeof(struct vcr_spool_record) + ev->size + VCR_SPOOL_ALIGN - 1) / VCR_SPOOL_ALIGN * VCR_SPOOL_ALIGN;
	switch (ev->type) {
	case VCR_REC_PROC: vcr_recorder_proc(r, ev); break;
	case VCR_REC_SEEN: vcr_recorder_seen(r, ev); break;
	case VCR_REC_FORK:
		if (p && ev->size >= 4)
			memcpy(&p->ppid, ev->payload, 4);
		if (p && !p->program) {
			struct process *parent = vcr_recorder_process(r, p->ppid, false);
			p->program = parent && parent->program ? strdup(parent->program) : NULL;
		}
		if (p) {
			p->joined = true;
			vcr_recorder_under(r, p);
			vcr_recorder_began(r, p, ev->time_ns);
		}
		break;
	case VCR_REC_EXEC: vcr_recorder_exec(r, ev); break;
	case VCR_REC_EXIT: on_exit_record(r, ev); break;
	case VCR_REC_CONN: on_conn(r, ev); break;
	case VCR_REC_OUT: case VCR_REC_IN: on_bytes(r, ev); break;
	case VCR_REC_CLOSE: on_close(r, ev); break;
	case VCR_REC_FILE: on_file(r, ev); break;
	case VCR_REC_LOST: vcr_recorder_lost(r, ev); break;
	case VCR_REC_REFUSED: vcr_recorder_refused(r, ev); break;
	case VCR_REC_NOTE: on_note(r, ev); break;
	case VCR_REC_TOLD: on_told(r, ev); break;
	default: break;
	}
}

bool vcr_recorder_awaits_gate(const struct vcr_recorder *r, int pid)
{
	for (int i = 0; i < BUCKETS; i++)
		for (const struct conn *c = r->conn[i]; c; c = c->next)
			if (c->gate && c->pid == pid && c->gate_start == r->spool->gate.start) /* not one that has died */
				return true;
	return false;
}

void vcr_recorder_gone(struct vcr_recorder *r, int pid, uint64_t mono_ns)
{
	struct process *p = vcr_recorder_process(r, pid, false);
	mono_ns = vcr_recorder_as_read(r, mono_ns);
	vcr_flow_process_gone(r->flow, pid, mono_ns);
	vcr_recorder_end_rpc(r, pid, mono_ns);
	vcr_recorder_notes_gone(r, pid, mono_ns);
	vcr_pair_gone(r->pair, pid, mono_ns);
	if (p && !p->ended_ns) {
		p->ended_ns = mono_ns;
		p->next_ended = r->ended;
		r->ended = p;
		if (++r->nended > MAX_ENDED || (p->run.path && !p->exiting))
			vcr_recorder_sweep(r, (int64_t)mono_ns);
	}
	for (int i = 0; i < BUCKETS; i++)
		for (struct conn *c = r->conn[i], *next; c; c = next) {
			next = c->next;
			if (c->pid == pid)
				forget_conn(r, c->id);
		}
}
