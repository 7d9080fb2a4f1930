#include "replay-parts.h"
#include "envelope.h"
#include "grpc.h"
#include "grpc-plain.h"
#include "inflate.h"
#include "limits.h"
#include "scrub.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { INVALID_ARGUMENT = 3, PERMISSION_DENIED = 7 /* gRPC's */, CANCEL = 8 /* of RST_STREAM */, LEAVE_US = 1000000, MOST_NAMED = 256 /* recorded calls that are looked at */, LIVE_NUMBERS = 10000000 /* beyond those of any recording */ };

/* One answer under way. */
struct serving {
	struct vcr_replay *r;
	struct serving *prev, *after;
	struct vcr_gate_exchange *x;
	struct vcr_recorded *call;
	struct body *body;
	struct event *timer;     /* NULL until something is to be waited for */
	int64_t began_us;
	size_t next;             /* piece */
	bool head, all;          /* all: everything that was recorded is written */
};

void vcr_replay_report(struct vcr_replay *r, const struct vcr_replay_event *ev)
{
	if (r->o.report)
		r->o.report(r->o.ctx, ev);
}

/* ---- Serving ---- */

static void on_timer(evutil_socket_t fd, short what, void *serving);

int64_t vcr_replay_now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void end_serving(struct serving *s)
{
	*(s->prev ? &s->prev->after : &s->r->first) = s->after;
	if (s->after)
		s->after->prev = s->prev;
	if (s->timer)
		event_free(s->timer);
	vcr_replay_body_leave(s->body);
	free(s);
}

/* Where piece i begins: 0, then the reads, at last the end of the body. */
static size_t piece_start(const struct serving *s, size_t i)
{
	size_t n = s->body->text.len;
	if (i == 0)
		return 0;
	uint64_t at = i > s->call->npiece ? n : s->body->piece ? s->body->piece[i - 1] : s->call->piece[i - 1].offset;
	return at < n ? (size_t)at : n;
}

/* When piece i is due, microseconds after the request; the end is a piece too. */
static int64_t due_us(const struct serving *s, size_t i)
{
	const struct vcr_recorded *c = s->call;
	int64_t first = c->ttfb_us > 0 ? c->ttfb_us : 0;
	if (i == 0)
		return first;
	if (i <= c->npiece)
		return first + (int64_t)c->piece[i - 1].time_us;
	return c->total_us > first ? c->total_us : first;
}

static const char *recorded_field(const struct vcr_recorded *c, const char *name)
{
	return vcr_http1_field(c->field, c->nfield, name);
}

static bool is_unknown_coding(const char *coding)
{
	struct vcr_inflate *z = NULL;
	bool unknown = coding && vcr_inflate_new(&z, coding, NULL) == VCR_ENOSYS;
	vcr_inflate_free(z);
	return unknown;
}

/* The length to announce; -1: chunked. */
static int64_t length_of(const struct serving *s)
{
	const struct vcr_recorded *c = s->call;
	const char *said = recorded_field(c, "content-length"), *type = recorded_field(c, "content-type");
	long long n = said && !c->coding && strlen(said) < 16 && strspn(said, "0123456789") == strlen(said) ? atoll(said) : -1;
	if (!strcmp(c->method, "HEAD"))
		return n;
	if (c->failure)
		return n >= (long long)s->body->text.len ? n : -1; /* more was announced than came */
	if (said)
		return (int64_t)s->body->text.len;
	if (recorded_field(c, "transfer-encoding") || c->npiece || (type && !strncasecmp(type, "text/event-stream", 17)))
		return -1;
	return (int64_t)s->body->text.len;
}

static int write_head(struct serving *s)
{
	const struct vcr_recorded *c = s->call;
	struct vcr_http1_field field[VCR_MAX_HTTP_FIELDS];
	size_t n = 0;
	bool keep_coding = is_unknown_coding(c->coding);
	for (size_t i = 0; i < c->nfield && n < VCR_MAX_HTTP_FIELDS; i++)
		if (keep_coding || strcasecmp(c->field[i].name, "content-encoding"))
			field[n++] = c->field[i];
	s->head = true;
	return vcr_gate_head(s->x, c->status, c->reason ? c->reason : c->status == 200 ? "OK" : "", field, n, length_of(s));
}

static struct event *timer_of(struct serving *s)
{
	if (!s->timer)
		s->timer = event_new(s->r->o.base, -1, 0, on_timer, s);
	return s->timer;
}

/* The program turned away. What made it do so is in what it has got, or is its own patience: so it gets as much time as it took then, and some.
 * Where TLS runs over memory buffers the recorder cannot tell this from a reset; the end of the wait is one. */
static void wait_for_leaving(struct serving *s)
{
	const struct vcr_recorded *c = s->call;
	int64_t last = c->npiece ? (c->ttfb_us > 0 ? c->ttfb_us : 0) + (int64_t)c->piece[c->npiece - 1].time_us : c->ttfb_us > 0 ? c->ttfb_us : 0;
	int64_t patience = c->total_us > last ? c->total_us - last : 0;
	patience += patience / 4 + LEAVE_US;
	struct timeval tv = { patience / 1000000, patience % 1000000 };
	vcr_gate_flush(s->x);
	if (!timer_of(s) || event_add(s->timer, &tv))
		vcr_gate_cut(s->x, VCR_CUT_RESET);
}

static void finish(struct serving *s)
{
	const char *how = s->call->failure;
	s->all = true;
	if (!how) {
		vcr_gate_trailers(s->x, s->call->trailer, s->call->ntrailer);
		vcr_gate_end(s->x);
	} else if (s->call->goaway)
		vcr_gate_go_away(s->x, s->call->goaway_code);
	else if (s->call->reset_code)
		vcr_gate_reset(s->x, s->call->reset_code);
	else if (!strcmp(how, "reset") || !strcmp(how, "timeout"))
		vcr_gate_cut(s->x, VCR_CUT_RESET);
	else if (!strcmp(how, "cut"))
		vcr_gate_cut(s->x, VCR_CUT_SHORT);
	else if (strcmp(how, "aborted"))
		vcr_gate_cut(s->x, VCR_CUT_CLOSE);
	else
		wait_for_leaving(s);
}

/* Write what is due, as far as the client takes it. */
static void go_on(struct serving *s)
{
	size_t pieces = s->call->npiece + 1;
	double speed = s->r->o.speed;
	int err = 0;
	while (!s->all && !err) {
		int64_t wait = speed > 0 ? s->began_us + (int64_t)((double)due_us(s, s->next) / speed) - vcr_replay_now_us() : 0;
		if (wait > 0) {
			struct timeval tv = { wait / 1000000, wait % 1000000 };
			vcr_gate_flush(s->x);
			if (timer_of(s) && !event_add(s->timer, &tv))
				return;
			err = VCR_ENOMEM;
			break;
		}
		if (vcr_gate_backlog(s->x) > VCR_MAX_GATE_BACKLOG) {
			vcr_gate_flush(s->x);
			if (vcr_gate_backlog(s->x) > VCR_MAX_GATE_BACKLOG)
				return; /* drained comes */
		}
		if (!s->head && s->call->status)
			err = write_head(s);
		if (!err && s->next < pieces && s->call->status) {
			size_t from = piece_start(s, s->next), to = piece_start(s, s->next + 1);
			if (to > from)
				err = vcr_gate_body(s->x, s->body->text.data + from, to - from);
			s->next++;
		} else if (!err) {
			finish(s);
		}
	}
	if (err && err != VCR_EIO) /* more body than announced: cannot be, but must not hang */
		vcr_gate_cut(s->x, VCR_CUT_RESET);
}

static void on_timer(evutil_socket_t fd, short what, void *serving)
{
	struct serving *s = serving;
	if (s->all)
		vcr_gate_reset(s->x, CANCEL);
	else
		go_on(s);
}

static void serve(struct vcr_replay *r, struct vcr_gate_exchange *x, struct vcr_recorded *c, struct body *b)
{
	struct serving *s = calloc(1, sizeof *s);
	if (!s) {
		vcr_replay_body_leave(b);
		vcr_match_back(r->match, c, false);
		vcr_gate_cut(x, VCR_CUT_RESET);
		return;
	}
	s->r = r;
	s->x = x;
	s->call = c;
	s->body = b;
	s->began_us = vcr_replay_now_us();
	if ((s->after = r->first))
		r->first->prev = s;
	r->first = s;
	vcr_gate_set_user(x, s);
	go_on(s);
}

/* ---- Misses ---- */

int vcr_replay_envelope(enum vcr_api api, int status, const char *message, const char *pointer, struct vcr_buf *out)
{
	return vcr_envelope(api, status, message, "vcr_replay_miss", pointer, out);
}

void vcr_replay_missed(struct vcr_replay *r, const char *host, const struct vcr_match_query *q, struct vcr_divergence *d, struct vcr_buf *message)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	vcr_match_explain(r->match, q, d, &words, NULL);
	vcr_replay_report(r, &(struct vcr_replay_event){ .what = VCR_REPLAY_MISSED, .api = q->api, .method = q->method, .target = q->target, .host = host, .body = q->body,
		.nbody = q->nbody, .divergence = d, .words = words.data });
	vcr_buf_printf(message, "vcr replay: %s", words.data);
}

static bool is_grpc(const struct vcr_gate_request *q)
{
	return q->http2 && vcr_grpc_is(vcr_http1_field(q->field, q->nfield, "content-type"));
}

static void miss(struct vcr_replay *r, struct vcr_gate_exchange *x, const struct vcr_gate_request *raw, const struct vcr_match_query *q)
{
	static const struct vcr_http1_field no_retry = { "x-should-retry", "false" };
	struct vcr_divergence d = VCR_DIVERGENCE_INIT;
	VCR_AUTO_BUF message = VCR_BUF_INIT, body = VCR_BUF_INIT;
	vcr_replay_missed(r, raw->host, q, &d, &message);
	vcr_replay_envelope(q->api, 400, message.data, d.pointer.data, &body);
	if (is_grpc(raw))
		vcr_gate_grpc(x, INVALID_ARGUMENT, message.data);
	else
		vcr_gate_simple(x, 400, "application/json", body.data, body.len, &no_retry);
	vcr_divergence_release(&d);
}

static void refuse(struct vcr_replay *r, struct vcr_gate_exchange *x, const char *method, const char *target, const char *host, bool grpc)
{
	VCR_AUTO_BUF words = VCR_BUF_INIT;
	vcr_buf_printf(&words, "vcr replay: %s %s%s was not recorded, and nothing goes to the network\n", method, host, target ? target : "");
	vcr_replay_report(r, &(struct vcr_replay_event){ .what = VCR_REPLAY_REFUSED, .method = method, .target = target, .host = host });
	if (grpc)
		vcr_gate_grpc(x, PERMISSION_DENIED, words.data);
	else
		vcr_gate_simple(x, 403, NULL, words.data, words.len, NULL);
}

/* ---- The handler ---- */

/* A request as the recorder would write it down. */
struct clean { struct vcr_buf target, body; };

static int scrub_up(struct vcr_replay *r, const char *host, struct vcr_buf *text)
{
	struct vcr_buf clean = VCR_BUF_INIT;
	int err = vcr_scrub_text_all(r->scrub, host, text->data, text->len, &clean);
	vcr_buf_release(text);
	*text = clean;
	return err;
}

/* Target and body, a line between them. */
static int whole_live(const struct vcr_match_query *q, struct vcr_buf *out)
{
	vcr_buf_printf(out, "%s\n", q->target);
	return vcr_buf_add(out, q->body, q->nbody);
}

static int whole_recorded(const struct vcr_recorded *c, struct vcr_buf *out)
{
	int err = vcr_buf_printf(out, "%s\n", c->path);
	return err || !*c->request_ref ? err : vcr_reader_body(c->reader, c->request_ref, out, NULL);
}

static bool has_placeholder(const struct vcr_buf *b)
{
	return memmem(b->data, b->len, "{{vcr:secret:", 13) != NULL;
}

/* What this run calls a secret is called as in the recording from now on: the answers that repeat it do, and what repeats these will. */
static void take_names(struct vcr_replay *r, const struct vcr_recorded *c, enum vcr_rung rung, const struct vcr_match_query *q)
{
	VCR_AUTO_BUF recorded = VCR_BUF_INIT, live = VCR_BUF_INIT;
	size_t known = vcr_redact_known(r->redact) + vcr_scrub_known_all(r->scrub);
	if (known == r->bound_values)
		return;
	r->bound_values = known;
	if (!whole_live(q, &live) && has_placeholder(&live) && !whole_recorded(c, &recorded))
		vcr_scrub_bind(r->scrub, r->redact, live.data, live.len, recorded.data, recorded.len, rung == VCR_RUNG_EXACT);
}

/* A program that has heard a secret's placeholder and tells the secret itself has two names for it, where the recording has one: is it that? Then the
 * request is told with the recorded names, in `told`, and q is that one. */
static struct vcr_recorded *give_by_names(struct vcr_replay *r, struct vcr_match_query *q, enum vcr_rung *rung, struct vcr_buf *told)
{
	VCR_AUTO_BUF live = VCR_BUF_INIT;
	struct vcr_recorded *found = NULL;
	size_t left = MOST_NAMED;
	if (whole_live(q, &live) || !has_placeholder(&live))
		return NULL;
	for (size_t i = 0; i < vcr_match_count(r->match) && !found && left; i++) {
		const struct vcr_recorded *c = vcr_match_call(r->match, i);
		VCR_AUTO_BUF recorded = VCR_BUF_INIT;
		if (c->state != VCR_FREE || strcmp(c->method, q->method) || strcspn(c->path, "?") != strcspn(q->target, "?") || strncmp(c->path, q->target, strcspn(c->path, "?")))
			continue;
		left--;
		vcr_buf_reset(told);
		if (whole_recorded(c, &recorded) || !vcr_scrub_translate(live.data, live.len, recorded.data, recorded.len, told))
			continue;
		char *body = strchr(told->data, '\n');
		if (!body++) /* a placeholder went over the line's end */
			continue;
		struct vcr_match_query as = *q;
		body[-1] = 0;
		as.target = told->data;
		as.body = body;
		as.nbody = told->len - (size_t)(body - told->data);
		if ((found = vcr_match_give(r->match, &as, rung)) != NULL) {
			vcr_scrub_bind(r->scrub, r->redact, live.data, live.len, recorded.data, recorded.len, true);
			*q = as;
		}
	}
	return found;
}

int vcr_replay_clean(struct vcr_replay *r, const char *host, bool grpc, const char *body, size_t n, struct vcr_buf *out)
{
	int err = grpc ? vcr_redact_fitted(r->redact, body, n, out, NULL) : vcr_redact_body(r->redact, body, n, false, out, NULL);
	return err || !r->scrub ? err : scrub_up(r, host, out);
}

static int clean_up(struct vcr_replay *r, const struct vcr_gate_request *q, struct clean *c)
{
	VCR_AUTO_BUF plain = VCR_BUF_INIT;
	struct vcr_inflate *z = NULL;
	const char *coding = vcr_http1_field(q->field, q->nfield, "content-encoding"), *body = q->body;
	size_t n = q->nbody;
	struct vcr_grpc_plain *messages = coding ? NULL : vcr_grpc_plain_new(q->field, q->nfield);
	if (messages && !vcr_grpc_plain_feed(messages, body, n, &plain)) {
		body = plain.data;
		n = plain.len;
	}
	vcr_grpc_plain_free(messages);
	if (n && coding && *coding && !vcr_inflate_new(&z, coding, NULL)) {
		if (!vcr_inflate_feed(z, body, n, &plain)) {
			body = plain.data;
			n = plain.len;
		}
		vcr_inflate_free(z);
	}
	vcr_redact_learn_request(r->redact, q->field, q->nfield, q->target, body, n);
	int err = vcr_redact(r->redact, q->target, strlen(q->target), &c->target, NULL);
	if (!err && r->scrub)
		err = scrub_up(r, q->host, &c->target);
	return err ? err : vcr_replay_clean(r, q->host, vcr_grpc_is(vcr_http1_field(q->field, q->nfield, "content-type")), body, n, &c->body);
}

static void hash_bytes(uint64_t h[2], const char *p, size_t n)
{
	uint64_t a = h[0] ^ n, b = h[1] + n, v;
	for (; n >= 8; n -= 8, p += 8) {
		memcpy(&v, p, 8);
		a = (a ^ v) * 0x9e3779b97f4a7c15ull;
		b = (b + v) * 0xc2b2ae3d27d4eb4full;
		a ^= a >> 29;
		b ^= b >> 31;
	}
	v = 0;
	memcpy(&v, p, n);
	h[0] = (a ^ v) * 0x9e3779b97f4a7c15ull;
	h[1] = (b + v) * 0xc2b2ae3d27d4eb4full;
}

/* Its place among the recent ones; hash: of everything that redaction or a key could depend on. */
static struct recent *recent_of(struct vcr_replay *r, const struct vcr_gate_request *q, uint64_t hash[2])
{
	hash[0] = 1;
	hash[1] = 2;
	hash_bytes(hash, q->method, strlen(q->method));
	hash_bytes(hash, q->target, strlen(q->target));
	for (size_t i = 0; i < q->nfield; i++) {
		hash_bytes(hash, q->field[i].name, strlen(q->field[i].name));
		hash_bytes(hash, q->field[i].value, strlen(q->field[i].value));
	}
	hash_bytes(hash, q->body, q->nbody);
	return &r->recent[(hash[0] ^ hash[0] >> 32) % VCR_RECENT];
}

/* q, raw: the request, NULL if it is one that was answered before. */
static void serve_call(struct vcr_replay *r, struct vcr_gate_exchange *x, struct vcr_recorded *c, enum vcr_rung rung, const struct vcr_match_query *q, const struct vcr_gate_request *raw)
{
	struct vcr_error e = { 0 };
	struct body *b = vcr_replay_body_take(r, c, &e), *own = b && q && rung >= VCR_RUNG_NORMALISED ? vcr_replay_body_bind(r, c, b, q) : NULL;
	if (own) {
		vcr_replay_body_leave(b);
		b = own;
	}
	if (!b) {
		VCR_AUTO_BUF body = VCR_BUF_INIT;
		vcr_match_back(r->match, c, false);
		vcr_replay_envelope(c->api, 400, *e.what ? e.what : "vcr replay: out of memory", NULL, &body);
		vcr_gate_simple(x, 400, "application/json", body.data, body.len, NULL);
		return;
	}
	vcr_replay_report(r, &(struct vcr_replay_event){ .what = VCR_REPLAY_SERVED, .call = c, .rung = rung, .request = raw });
	serve(r, x, c, b);
}

/* ---- What goes on to the real hosts ---- */

static size_t find_live(const struct vcr_replay *r, const struct vcr_gate_exchange *x)
{
	size_t i = 0;
	while (i < r->nlive && r->live[i] != x)
		i++;
	return i;
}

/* It is answered, or another request's now. */
static void forget_live(struct vcr_replay *r, const struct vcr_gate_exchange *x)
{
	size_t i = find_live(r, x);
	if (i < r->nlive)
		r->live[i] = r->live[--r->nlive];
}

static bool note_live(struct vcr_replay *r, struct vcr_gate_exchange *x)
{
	if (r->nlive == r->live_cap) {
		size_t cap = r->live_cap ? 2 * r->live_cap : 16;
		struct vcr_gate_exchange **more = realloc(r->live, cap * sizeof *more);
		if (!more)
			return false;
		r->live = more;
		r->live_cap = cap;
	}
	r->live[r->nlive++] = x;
	return true;
}

static void go_live(struct vcr_replay *r, struct vcr_gate_exchange *x, const struct vcr_gate_request *q, const struct vcr_match_query *query)
{
	if (!note_live(r, x)) {
		vcr_gate_cut(x, VCR_CUT_RESET);
		return;
	}
	vcr_replay_report(r, &(struct vcr_replay_event){ .what = VCR_REPLAY_LIVE, .api = query->api, .method = q->method, .target = query->target, .host = q->host });
	r->o.live->request(r->o.live_ctx, x, q);
}

struct vcr_recorded *vcr_replay_find(struct vcr_replay *r, struct vcr_match_query *q, enum vcr_rung *rung, struct vcr_buf *told)
{
	struct vcr_recorded *c = vcr_match_give(r->match, q, rung);
	if (!c && q->api != VCR_API_NONE)
		c = give_by_names(r, q, rung, told);
	if (c)
		take_names(r, c, *rung, q);
	return c;
}

static void answer(struct vcr_replay *r, struct vcr_gate_exchange *x, const struct vcr_gate_request *q, struct vcr_match_query *query)
{
	uint64_t hash[2];
	struct recent *recent = recent_of(r, q, hash);
	enum vcr_rung rung;
	VCR_AUTO_BUF told = VCR_BUF_INIT;
	struct vcr_recorded *c = vcr_replay_find(r, query, &rung, &told);
	if (c) {
		*recent = (struct recent){ { hash[0], hash[1] }, vcr_redact_known(r->redact), c, rung, c->anew };
		serve_call(r, x, c, rung, query, q);
	} else if (r->o.live) {
		go_live(r, x, q, query);
	} else if (query->api == VCR_API_NONE) {
		refuse(r, x, q->method, query->target, q->host, is_grpc(q));
	} else {
		miss(r, x, q, query);
	}
}

/* Was this very request answered before? */
static bool answer_again(struct vcr_replay *r, struct vcr_gate_exchange *x, const struct vcr_gate_request *q)
{
	uint64_t hash[2];
	const struct recent *recent = recent_of(r, q, hash);
	if (!recent->call || recent->rung >= VCR_RUNG_NORMALISED /* its answer is told anew */ || recent->hash[0] != hash[0] || recent->hash[1] != hash[1] || recent->known != vcr_redact_known(r->redact))
		return false;
	struct vcr_recorded *c = vcr_match_give_like(r->match, recent->call, recent->anew, recent->rung);
	if (c)
		serve_call(r, x, c, recent->rung, NULL, NULL);
	return c != NULL;
}

/* Where none was recorded: a client that hears 426 goes back to HTTP at once. */
static void upgrade(struct vcr_replay *r, struct vcr_gate_exchange *x, const struct vcr_gate_request *q)
{
	struct clean c = { VCR_BUF_INIT, VCR_BUF_INIT };
	if (clean_up(r, q, &c)) {
		vcr_gate_no_socket(x);
	} else if (!vcr_replay_socket_begin(r, x, q, c.target.data)) {
		const struct vcr_match_query query = { .api = vcr_api_recognise_socket(q->host, q->target, r->o.model_hosts), .method = q->method, .target = c.target.data };
		if (r->o.live && !vcr_gate_http_will_do(q))
			go_live(r, x, q, &query);
		else
			vcr_gate_no_socket(x);
	}
	vcr_buf_release(&c.target);
	vcr_buf_release(&c.body);
}

static void on_request(void *ctx, struct vcr_gate_exchange *x, const struct vcr_gate_request *q)
{
	struct vcr_replay *r = ctx;
	struct clean c = { VCR_BUF_INIT, VCR_BUF_INIT };
	const char *to = vcr_http1_field(q->field, q->nfield, "upgrade");
	forget_live(r, x);
	if (to && !strcasecmp(to, "websocket")) {
		upgrade(r, x, q);
		return;
	}
	if (!r->scrub && answer_again(r, x, q))
		return;
	if (clean_up(r, q, &c)) {
		vcr_gate_cut(x, VCR_CUT_RESET);
	} else {
		const char *type = vcr_http1_field(q->field, q->nfield, "content-type");
		struct vcr_match_query query = { .api = vcr_api_recognise(q->method, q->host, q->target, type, r->o.model_hosts), .method = q->method,
			.target = c.target.data, .body = c.body.data, .nbody = c.body.len };
		answer(r, x, q, &query);
	}
	vcr_buf_release(&c.target);
	vcr_buf_release(&c.body);
}

static void on_input(void *ctx, struct vcr_gate_exchange *x, const char *p, size_t n)
{
	struct vcr_replay *r = ctx;
	if (find_live(r, x) < r->nlive)
		r->o.live->input(r->o.live_ctx, x, p, n);
	else
		vcr_replay_socket_input(r, x, p, n);
}

static void on_drained(void *ctx, struct vcr_gate_exchange *x)
{
	struct vcr_replay *r = ctx;
	if (find_live(r, x) < r->nlive) {
		r->o.live->drained(r->o.live_ctx, x);
		return;
	}
	if (vcr_replay_socket_is(r, x)) {
		vcr_replay_socket_drained(r, x);
		return;
	}
	struct serving *s = vcr_gate_user(x);
	if (s && !s->all)
		go_on(s);
}

/* Held open until the program turns away, as it did when recorded: that it has got everything is enough. One that GOAWAY refused hears of it by another's too. */
static bool is_enough(const struct serving *s)
{
	return s->call->goaway || (s->all && s->call->failure && !strcmp(s->call->failure, "aborted") && !vcr_gate_backlog(s->x));
}

/* The connection is over, and with it what else had been refused on it: who is late is not looked at, and asks anew somewhere else. */
static void forget_refused(struct vcr_replay *r, const struct vcr_recorded *c)
{
	for (size_t i = 0; i < vcr_match_count(r->match); i++) {
		struct vcr_recorded *o = vcr_match_call(r->match, i);
		if (o->goaway && o->state == VCR_FREE && o->reader == c->reader && o->conn == c->conn)
			vcr_match_back(r->match, o, true);
	}
}

/* The exchange's word is the serving until its end, then the call. */
static void on_done(void *ctx, struct vcr_gate_exchange *x, enum vcr_gate_fate fate)
{
	struct vcr_replay *r = ctx;
	if (find_live(r, x) < r->nlive) {
		r->o.live->done(r->o.live_ctx, x, fate);
		if (fate == VCR_GATE_GONE)
			forget_live(r, x);
		return;
	}
	if (vcr_replay_socket_is(r, x)) {
		vcr_replay_socket_done(r, x, fate);
		return;
	}
	struct serving *s = fate == VCR_GATE_UNREAD ? NULL : vcr_gate_user(x);
	struct vcr_recorded *c = s ? s->call : vcr_gate_user(x);
	if (!c)
		return;
	bool delivered = fate == VCR_GATE_DELIVERED || (fate == VCR_GATE_GONE && is_enough(s));
	if (fate == VCR_GATE_UNREAD && c->failure)
		return; /* a cut answer is never read to its end */
	vcr_match_back(r->match, c, delivered);
	if (c->goaway)
		forget_refused(r, c);
	if (s)
		c->took_us += vcr_replay_now_us() - s->began_us;
	if (!delivered)
		vcr_replay_report(r, &(struct vcr_replay_event){ .what = VCR_REPLAY_CUT_SHORT, .call = c });
	vcr_gate_set_user(x, c);
	if (s)
		end_serving(s);
}

/* A connected socket to this machine, or -1. Loopback answers at once: no need to wait for it in the loop. */
static int connect_here(const char *host, int port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	bool six = !strcmp(host, "::1"), four = !strcasecmp(host, "localhost") ? inet_pton(AF_INET, "127.0.0.1", &v4.sin_addr) : inet_pton(AF_INET, host, &v4.sin_addr) == 1;
	if (!six && !(four && (ntohl(v4.sin_addr.s_addr) >> 24) == 127))
		return -1;
	int fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4, six ? sizeof v6 : sizeof v4))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void on_tunnel(void *ctx, struct vcr_gate_exchange *x, const char *host, int port)
{
	struct vcr_replay *r = ctx;
	char where[300];
	if (r->o.live) {
		forget_live(r, x);
		if (!note_live(r, x))
			vcr_gate_cut(x, VCR_CUT_RESET);
		else
			r->o.live->tunnel(r->o.live_ctx, x, host, port);
		return;
	}
	int fd = connect_here(host, port);
	snprintf(where, sizeof where, "%s:%d", host, port);
	if (fd >= 0)
		vcr_gate_tunnel(x, fd);
	else
		refuse(ctx, x, "CONNECT", NULL, where, false);
}

/* A recorded host is as its client wrote it, the usual port too. */
static bool is_host_of(const struct vcr_gate_request *q, const char *recorded)
{
	size_t n = strlen(q->host);
	return !strncasecmp(recorded, q->host, n) && (!recorded[n] || !strcmp(recorded + n, q->tls ? ":443" : ":80"));
}

/* Is something left of what that host was asked by HTTP/2? */
static bool has_http2(const struct vcr_replay *r, const struct vcr_gate_request *q)
{
	for (size_t i = 0; i < vcr_match_count(r->match) && !r->o.match.nothing; i++) {
		const struct vcr_recorded *c = vcr_match_call(r->match, i);
		if (c->http2 && c->state == VCR_FREE && is_host_of(q, c->host))
			return true;
	}
	return false;
}

/* Online a connection goes on as a whole, where nothing is left that could be answered. */
static bool on_relay(void *ctx, struct vcr_gate_exchange *x, const struct vcr_gate_request *q)
{
	struct vcr_replay *r = ctx;
	if (!r->o.live || !r->o.live->relay || has_http2(r, q) || !note_live(r, x))
		return false;
	vcr_replay_report(r, &(struct vcr_replay_event){ .what = VCR_REPLAY_LIVE, .api = VCR_API_GENERIC, .method = q->method, .target = q->target, .host = q->host });
	return r->o.live->relay(r->o.live_ctx, x, q);
}

const struct vcr_gate_handler vcr_replay_handler = { .request = on_request, .drained = on_drained, .done = on_done, .tunnel = on_tunnel, .relay = on_relay, .input = on_input };

/* ---- The module ---- */

static void learn_environment(struct vcr_redact *redact, char **env)
{
	for (; env && *env; env++) {
		const char *eq = strchr(*env, '=');
		char name[256];
		if (!eq || (size_t)(eq - *env) >= sizeof name)
			continue;
		memcpy(name, *env, (size_t)(eq - *env));
		name[eq - *env] = 0;
		vcr_redact_learn_env(redact, name, eq + 1);
	}
}

int vcr_replay_new(struct vcr_replay **out, const struct vcr_replay_options *o, struct vcr_error *e)
{
	struct vcr_replay *r = calloc(1, sizeof *r);
	if (!r)
		return vcr_error_set(e, VCR_ENOMEM, "replay: out of memory");
	r->o = *o;
	r->redact = vcr_redact_new();
	int err = r->redact ? vcr_match_new(&r->match, o->reader, &o->match, e) : vcr_error_set(e, VCR_ENOMEM, "replay: out of memory");
	if (err) {
		vcr_replay_free(r);
		return err;
	}
	err = o->reader ? vcr_scrub_load(o->reader, LIVE_NUMBERS, &r->scrub, e) : 0;
	for (size_t i = o->match.nbefore; i && !err && !r->scrub; i--)
		err = vcr_scrub_load(o->match.before[i - 1].reader, LIVE_NUMBERS, &r->scrub, e);
	if (err) {
		vcr_replay_free(r);
		return err;
	}
	learn_environment(r->redact, o->environ);
	*out = r;
	return 0;
}

void vcr_replay_free(struct vcr_replay *r)
{
	if (!r)
		return;
	while (r->first)
		end_serving(r->first);
	vcr_replay_socket_end_all(r);
	for (size_t i = 0; r->match && i < vcr_match_count(r->match); i++)
		if (vcr_match_call(r->match, i)->user)
			vcr_replay_body_drop(r, vcr_match_call(r->match, i));
	vcr_match_free(r->match);
	vcr_redact_free(r->redact);
	vcr_scrub_free_list(r->scrub);
	free(r->live);
	free(r);
}

struct vcr_match *vcr_replay_match(struct vcr_replay *r)
{
	return r->match;
}
