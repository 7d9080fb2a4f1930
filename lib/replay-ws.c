/* replay-ws.c — a model's WebSocket, told from a recording (RFC 6455; flow-ws.c says what a turn is).
 *
 * What a client says is gathered until it asks for an answer: with "response.create", or, where the recorded server began by itself or turns have no such mark
 * (Gemini live), when it has said as many messages as were recorded. The gathered messages, joined as the recorder joins them, are looked for like
 * the body of any request, and the answer's lines go out as messages. What the server said beside its answers ("aside" of vcr-format(5)), and in the
 * midst of a turn without marks ("turns"), is told of the turn that is expected next: the first of that path which nobody has had. */
#include "replay-parts.h"
#include "limits.h"
#include "ws.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { POLICY = 1008, NO_CODE = 1005, NORMAL = 1000 };

/* One answer under way. */
struct turn {
	struct turn *next;
	struct vcr_recorded *call;
	struct body *body;
	int64_t began_us;
	size_t at, line;             /* of the next message */
};

struct socket {
	struct vcr_replay *r;
	struct socket *prev, *after;
	struct vcr_gate_exchange *x;
	struct vcr_ws *ws;
	char *target, *host;         /* target: as the recorder would have written it */
	struct vcr_buf asked;        /* joined by "," */
	unsigned nasked;
	struct turn *first, *last;
	struct event *timer;
	bool closing;
	const struct vcr_recorded *was; /* served last; NULL: none yet */
	size_t at;                   /* where among the calls the one after that lies which was served last */
	struct {                     /* the turn that is expected */
		struct vcr_recorded *call; /* NULL: none is left */
		unsigned messages;       /* of its request */
		bool marked;             /* it ends with response.create */
		struct vcr_json aside, turns;
		int next_aside;          /* value of `aside`; -1: all are told */
		size_t said;             /* lines of its answer */
	} next;
};

static bool is_marked_api(enum vcr_api api)
{
	return api != VCR_API_GENERIC;
}

/* ---- Saying ---- */

static void say(struct socket *s, enum vcr_ws_kind kind, const char *p, size_t n)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	vcr_ws_write(&b, kind, p, n);
	if (b.err)
		vcr_gate_cut(s->x, VCR_CUT_RESET);
	else
		vcr_gate_send(s->x, b.data, b.len);
}

static void say_close(struct socket *s, unsigned code, const char *reason)
{
	VCR_AUTO_BUF b = VCR_BUF_INIT;
	s->closing = true;
	vcr_ws_write_close(&b, code, reason);
	vcr_gate_send(s->x, b.data, b.len);
	vcr_gate_cut(s->x, VCR_CUT_CLOSE);
}

/* The line at `at` of an answer; its length is in n. */
static const char *line_of(const struct vcr_buf *text, size_t at, size_t *n)
{
	const char *p = text->data + at, *lf = memchr(p, '\n', text->len - at);
	*n = lf ? (size_t)(lf - p) : text->len - at;
	return p;
}

/* ---- What is expected next ---- */

static bool fits(const struct socket *s, const struct vcr_recorded *c, bool spent_too)
{
	size_t n = strcspn(s->target, "?");
	return c->websocket && (spent_too || c->state == VCR_FREE) && strcspn(c->path, "?") == n && !strncmp(c->path, s->target, n);
}

/* From the place of the last one on, then from the beginning; the same query first. */
static struct vcr_recorded *look_for(const struct socket *s, bool spent_too)
{
	size_t n = vcr_match_count(s->r->match);
	struct vcr_recorded *other = NULL;
	for (size_t i = 0; i < n; i++) {
		struct vcr_recorded *c = vcr_match_call(s->r->match, (s->at + i) % n);
		if (!fits(s, c, spent_too))
			continue;
		if (!strcmp(c->path, s->target))
			return c;
		other = other ? other : c;
	}
	return other;
}

static void count_messages(struct socket *s)
{
	VCR_AUTO_BUF body = VCR_BUF_INIT;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	const struct vcr_recorded *c = s->next.call;
	s->next.messages = 0;
	s->next.marked = false;
	if (!*c->request_ref || vcr_reader_body(c->reader, c->request_ref, &body, NULL) || vcr_json_parse(&j, body.data, body.len, 0, NULL))
		return;
	int events = vcr_json_get(&j, 0, "events"), last = 0;
	s->next.messages = 1;
	if (vcr_json_type(&j, events) == VCR_JSON_ARRAY) {
		s->next.messages = (unsigned)vcr_json_count(&j, events);
		for (int e = vcr_json_first(&j, events); e >= 0; e = vcr_json_next(&j, e))
			last = e;
	}
	s->next.marked = is_marked_api(c->api) && vcr_json_is(&j, vcr_json_get(&j, last, "type"), "response.create");
}

static void read_array(struct vcr_json *j, const char *text)
{
	vcr_json_release(j);
	*j = (struct vcr_json)VCR_JSON_INIT;
	if (text)
		vcr_json_parse(j, text, strlen(text), 0, NULL);
}

static void expect_next(struct socket *s)
{
	const struct vcr_match_options *o = &s->r->o.match;
	struct vcr_recorded *c = o->nothing ? NULL : look_for(s, false);
	bool goes_on = c && s->was && c->conn == s->was->conn; /* else its server began by greeting somebody else */
	if (!c && o->repeat && !o->nothing)
		c = look_for(s, true);
	s->next.call = c;
	s->next.next_aside = -1;
	s->next.said = 0;
	if (!c)
		return;
	count_messages(s);
	read_array(&s->next.aside, c->aside);
	read_array(&s->next.turns, c->turns);
	if ((goes_on || !s->was) && c->aside && vcr_json_type(&s->next.aside, 0) == VCR_JSON_ARRAY)
		s->next.next_aside = vcr_json_first(&s->next.aside, 0);
}

/* What the server said beside its answers after so many messages, and before. */
static void say_asides(struct socket *s, unsigned messages)
{
	const struct vcr_json *j = &s->next.aside;
	int64_t after;
	while (s->next.next_aside >= 0 && vcr_json_int(j, s->next.next_aside, &after) && after <= messages) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		struct vcr_jw w;
		int event = vcr_json_next(j, s->next.next_aside);
		if (event < 0)
			break;
		vcr_jw_init(&w, &b);
		vcr_jw_value(&w, j, event);
		say(s, VCR_WS_TEXT, b.data, b.len);
		s->next.next_aside = vcr_json_next(j, event);
	}
}

/* How many lines of its answer came before it had been asked more than so many messages. */
static size_t lines_after(const struct vcr_json *j, unsigned messages)
{
	int64_t line, after;
	for (int k = vcr_json_type(j, 0) == VCR_JSON_ARRAY ? vcr_json_first(j, 0) : -1, next; k >= 0; k = vcr_json_next(j, next)) {
		if ((next = vcr_json_next(j, k)) < 0 || !vcr_json_int(j, k, &line) || !vcr_json_int(j, next, &after))
			break;
		if (after > messages)
			return line > 0 ? (size_t)line : 0;
	}
	return 0;
}

/* A turn without marks: the server may have to speak before the client goes on. */
static void say_beforehand(struct socket *s)
{
	struct vcr_error e = { 0 };
	size_t most = lines_after(&s->next.turns, s->nasked), at = 0, n;
	struct body *b = most > s->next.said ? vcr_replay_body_take(s->r, s->next.call, &e) : NULL;
	for (size_t line = 0; b && line < most && at < b->text.len; line++, at += n + 1) {
		const char *p = line_of(&b->text, at, &n);
		if (line < s->next.said)
			continue;
		say(s, VCR_WS_TEXT, p, n);
		s->next.said++;
	}
	if (b)
		vcr_replay_body_leave(b);
}

/* ---- Answers ---- */

static void on_timer(evutil_socket_t fd, short what, void *socket);

/* When the message that begins at `at` came, microseconds after the turn began. */
static int64_t due_us(const struct turn *t)
{
	const struct vcr_recorded *c = t->call;
	int64_t due = c->ttfb_us > 0 ? c->ttfb_us : 0, first = due;
	for (size_t i = 0; i < c->npiece && (t->body->piece ? t->body->piece[i] : c->piece[i].offset) <= t->at; i++)
		due = first + (int64_t)c->piece[i].time_us;
	return due;
}

/* 0: it may go on. */
static bool has_to_wait(struct socket *s, const struct turn *t)
{
	double speed = s->r->o.speed;
	int64_t wait = speed > 0 ? t->began_us + (int64_t)((double)due_us(t) / speed) - vcr_replay_now_us() : 0;
	struct timeval tv = { wait / 1000000, wait % 1000000 };
	if (wait > 0 && !s->timer)
		s->timer = event_new(s->r->o.base, -1, 0, on_timer, s);
	return (wait > 0 && s->timer && !event_add(s->timer, &tv)) || vcr_gate_backlog(s->x) > VCR_MAX_GATE_BACKLOG;
}

static void end_turn(struct socket *s, bool delivered)
{
	struct turn *t = s->first;
	if (!(s->first = t->next))
		s->last = NULL;
	vcr_match_back(s->r->match, t->call, delivered);
	t->call->took_us += vcr_replay_now_us() - t->began_us;
	if (!delivered)
		vcr_replay_report(s->r, &(struct vcr_replay_event){ .what = VCR_REPLAY_CUT_SHORT, .call = t->call });
	vcr_replay_body_leave(t->body);
	free(t);
}

/* As it ended when it was recorded. */
static void fail_as_recorded(struct socket *s, const char *how)
{
	if (!strcmp(how, "reset") || !strcmp(how, "timeout"))
		vcr_gate_cut(s->x, VCR_CUT_RESET);
	else if (!strcmp(how, "cut"))
		vcr_gate_cut(s->x, VCR_CUT_SHORT);
	else if (strcmp(how, "aborted")) /* else the program itself turns away */
		vcr_gate_cut(s->x, VCR_CUT_CLOSE);
	s->closing = strcmp(how, "aborted") != 0;
}

static void go_on(struct socket *s)
{
	while (s->first && !s->closing) {
		struct turn *t = s->first;
		const char *how = t->call->failure;
		size_t n;
		while (t->at < t->body->text.len) {
			if (has_to_wait(s, t))
				return;
			const char *p = line_of(&t->body->text, t->at, &n);
			say(s, VCR_WS_TEXT, p, n);
			t->at += n + 1;
		}
		end_turn(s, true);
		if (how)
			fail_as_recorded(s, how);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *socket)
{
	go_on(socket);
}

/* from: so many lines of its answer have been told. */
static void begin_turn(struct socket *s, struct vcr_recorded *c, enum vcr_rung rung, const struct vcr_match_query *q, size_t from)
{
	struct vcr_error e = { 0 };
	struct turn *t = calloc(1, sizeof *t);
	struct body *b = t ? vcr_replay_body_take(s->r, c, &e) : NULL, *own = b && rung >= VCR_RUNG_NORMALISED ? vcr_replay_body_bind(s->r, c, b, q) : NULL;
	size_t n;
	if (!b) {
		free(t);
		vcr_match_back(s->r->match, c, false);
		say_close(s, POLICY, *e.what ? e.what : "vcr replay: out of memory");
		return;
	}
	if (own)
		vcr_replay_body_leave(b);
	*t = (struct turn){ .call = c, .body = own ? own : b, .began_us = vcr_replay_now_us() };
	for (; from && t->at < t->body->text.len; from--, t->at += n + 1)
		line_of(&t->body->text, t->at, &n);
	*(s->last ? &s->last->next : &s->first) = t;
	s->last = t;
	vcr_replay_report(s->r, &(struct vcr_replay_event){ .what = VCR_REPLAY_SERVED, .call = c, .rung = rung });
	for (size_t i = 0; i < vcr_match_count(s->r->match); i++)
		if (vcr_match_call(s->r->match, i) == c)
			s->at = i + 1;
	s->was = c;
	go_on(s);
}

/* ---- Asking ---- */

static void forget_asked(struct socket *s)
{
	vcr_buf_reset(&s->asked);
	s->nasked = 0;
}

/* What those APIs say of an error, then the reason of the end. */
static void miss(struct socket *s, const struct vcr_match_query *q)
{
	struct vcr_divergence d = VCR_DIVERGENCE_INIT;
	VCR_AUTO_BUF message = VCR_BUF_INIT, event = VCR_BUF_INIT;
	vcr_replay_missed(s->r, s->host, q, &d, &message);
	if (is_marked_api(q->api)) {
		vcr_buf_puts(&event, "{\"type\":\"error\",\"status\":400,");
		VCR_AUTO_BUF envelope = VCR_BUF_INIT;
		vcr_replay_envelope(q->api, 400, message.data, d.pointer.data, &envelope);
		vcr_buf_puts(&event, envelope.data + 1);
		say(s, VCR_WS_TEXT, event.data, event.len);
	}
	vcr_divergence_release(&d);
	say_close(s, POLICY, message.data);
}

/* One message as it is, several as the recorder joins them. */
static void request_of(const struct socket *s, enum vcr_api api, struct vcr_buf *out)
{
	bool many = s->nasked > 1 || !is_marked_api(api);
	vcr_buf_puts(out, many && s->nasked ? "{\"events\":[" : "");
	vcr_buf_add(out, s->asked.data, s->asked.len);
	vcr_buf_puts(out, many && s->nasked ? "]}" : "");
}

/* must: there is no answer but a recorded one; else the client may go on. */
static void look_up(struct socket *s, bool must)
{
	VCR_AUTO_BUF request = VCR_BUF_INIT, clean = VCR_BUF_INIT, told = VCR_BUF_INIT;
	enum vcr_api api = s->next.call ? s->next.call->api : vcr_api_recognise_socket(s->host, s->target, s->r->o.model_hosts);
	enum vcr_rung rung;
	request_of(s, api, &request);
	if (request.err || (request.len && vcr_replay_clean(s->r, s->host, false, request.data, request.len, &clean))) {
		vcr_gate_cut(s->x, VCR_CUT_RESET);
		return;
	}
	struct vcr_match_query q = { .api = api, .method = s->nasked ? "GET" : "WEBSOCKET", .target = s->target, .body = clean.data, .nbody = clean.len };
	struct vcr_recorded *c = vcr_replay_find(s->r, &q, &rung, &told);
	if (c && !c->websocket) {
		vcr_match_back(s->r->match, c, false);
		c = NULL;
	}
	if (!c) {
		if (must)
			miss(s, &q);
		return;
	}
	if (c == s->next.call)
		say_asides(s, s->nasked);
	size_t said = c == s->next.call ? s->next.said : 0;
	forget_asked(s);
	begin_turn(s, c, rung, &q, said);
}

/* The turns that begin without a word more of the client's. */
static void expect_turns(struct socket *s)
{
	do {
		expect_next(s);
		say_asides(s, 0);
		if (!s->next.call || s->next.messages || s->next.call->state != VCR_FREE)
			return;
		look_up(s, false);
	} while (s->next.call->state != VCR_FREE && !s->closing);
}

static int on_message(void *ctx, bool text, const char *p, size_t n)
{
	struct socket *s = ctx;
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	if (s->closing || vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL))
		return 0; /* audio and the like is in no recording */
	if (s->nasked++)
		vcr_buf_putc(&s->asked, ',');
	if (vcr_buf_add(&s->asked, p, n)) {
		forget_asked(s);
		return 0;
	}
	bool marked = s->next.call ? is_marked_api(s->next.call->api) : true, asks = vcr_json_is(&j, vcr_json_get(&j, 0, "type"), "response.create");
	bool enough = s->next.call && s->nasked == s->next.messages, must = marked ? asks : !s->next.call || s->nasked >= s->next.messages;
	if (s->next.call && !(enough || must)) {
		say_asides(s, s->nasked);
		if (!marked)
			say_beforehand(s);
	}
	if (!must && !(enough && !s->next.marked))
		return 0;
	look_up(s, must);
	if (!s->nasked && !s->closing)
		expect_turns(s);
	else if (s->next.call && !s->closing)
		say_asides(s, s->nasked);
	return 0;
}

static int on_close(void *ctx, unsigned code)
{
	struct socket *s = ctx;
	if (!s->closing)
		say_close(s, code == NO_CODE ? NORMAL : code, "");
	return 0;
}

static int on_ping(void *ctx, const char *p, size_t n)
{
	struct socket *s = ctx;
	if (!s->closing)
		say(s, VCR_WS_PONG, p, n);
	return 0;
}

/* ---- The connection ---- */

static struct socket *find(const struct vcr_replay *r, const struct vcr_gate_exchange *x)
{
	struct socket *s = r->sockets;
	while (s && s->x != x)
		s = s->after;
	return s;
}

static void free_socket(struct socket *s)
{
	if (s->timer)
		event_free(s->timer);
	vcr_ws_free(s->ws);
	vcr_buf_release(&s->asked);
	vcr_json_release(&s->next.aside);
	vcr_json_release(&s->next.turns);
	free(s->target);
	free(s->host);
	free(s);
}

/* The line of the handshake, which is asked for too. */
static void spend_handshake(const struct socket *s)
{
	for (size_t i = 0; i < vcr_match_count(s->r->match); i++) {
		struct vcr_recorded *c = vcr_match_call(s->r->match, i);
		if (c->frame < 0 && c->status == 101 && c->state == VCR_FREE && !strcmp(c->path, s->target)) {
			c->given++;
			vcr_match_back(s->r->match, c, true);
			return;
		}
	}
}

bool vcr_replay_socket_begin(struct vcr_replay *r, struct vcr_gate_exchange *x, const struct vcr_gate_request *q, const char *target)
{
	static const struct vcr_ws_events events = { on_message, on_close, on_ping };
	const char *offered = vcr_http1_field(q->field, q->nfield, "sec-websocket-protocol");
	struct socket *s = calloc(1, sizeof *s);
	char protocol[64];
	if (!s)
		return false;
	*s = (struct socket){ .r = r, .x = x, .target = strdup(target), .host = strdup(q->host), .ws = vcr_ws_new(&events, s, false, false) };
	vcr_buf_init(&s->asked, VCR_MAX_WS_MESSAGE);
	s->next.aside = s->next.turns = (struct vcr_json)VCR_JSON_INIT;
	if (s->target && s->host && s->ws)
		expect_next(s);
	size_t n = offered ? strcspn(offered, " \t,") : 0;
	memcpy(protocol, offered ? offered : "", n < sizeof protocol ? n : 0);
	protocol[n < sizeof protocol ? n : 0] = 0;
	if (!s->next.call || vcr_gate_socket(x, *protocol ? protocol : NULL)) {
		free_socket(s);
		return false;
	}
	spend_handshake(s);
	if ((s->after = r->sockets))
		r->sockets->prev = s;
	r->sockets = s;
	expect_turns(s);
	return true;
}

bool vcr_replay_socket_is(const struct vcr_replay *r, const struct vcr_gate_exchange *x)
{
	return find(r, x) != NULL;
}

void vcr_replay_socket_input(void *replay, struct vcr_gate_exchange *x, const char *p, size_t n)
{
	struct socket *s = find(replay, x);
	if (!s || !vcr_ws_feed(s->ws, p, n) || s->closing)
		return;
	VCR_AUTO_BUF why = VCR_BUF_INIT;
	vcr_buf_printf(&why, "vcr replay: %s", vcr_ws_why(s->ws));
	say_close(s, 1002, why.data);
}

void vcr_replay_socket_drained(struct vcr_replay *r, struct vcr_gate_exchange *x)
{
	go_on(find(r, x));
}

/* DELIVERED comes after a cut of ours, GONE when the client has left. */
void vcr_replay_socket_done(struct vcr_replay *r, struct vcr_gate_exchange *x, enum vcr_gate_fate fate)
{
	struct socket *s = find(r, x);
	while (s->first)
		end_turn(s, false);
	*(s->prev ? &s->prev->after : &r->sockets) = s->after;
	if (s->after)
		s->after->prev = s->prev;
	free_socket(s);
}

void vcr_replay_socket_end_all(struct vcr_replay *r)
{
	for (struct socket *s; (s = r->sockets);) {
		r->sockets = s->after;
		while (s->first) {
			struct turn *t = s->first;
			s->first = t->next;
			vcr_replay_body_leave(t->body);
			free(t);
		}
		free_socket(s);
	}
}
