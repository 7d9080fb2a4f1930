#include "flow-call.h"
#include "grpc-plain.h"
#include "limits.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_CHUNKS = 1 << 20 };
#define MAX_HELD ((size_t)1 << 30) /* bodies of all calls under way, bytes */

static size_t held_of(const struct body *b)
{
	return b->bytes.cap + (b->grpc ? vcr_grpc_plain_held(b->grpc) : 0);
}

static void release_body(struct body *b, size_t *held)
{
	*held -= held_of(b) < *held ? held_of(b) : *held;
	vcr_inflate_free(b->coding);
	vcr_grpc_plain_free(b->grpc);
	vcr_buf_release(&b->bytes);
}

void vcr_exchange_free(struct exchange *x, size_t *held)
{
	if (!x)
		return;
	release_body(&x->out, held);
	release_body(&x->in, held);
	free(x->req.field);
	free(x->req.text);
	free(x->res.field);
	free(x->res.text);
	free(x->trailer.field);
	free(x->trailer.text);
	free(x->host);
	free(x->method);
	free(x->target);
	free(x->reason);
	free(x->coding);
	free(x->id);
	vcr_buf_release(&x->aside);
	vcr_buf_release(&x->turns);
	free(x->chunk);
	free(x);
}

static int copy_fields(struct head_copy *to, const struct vcr_http1_field *field, size_t n)
{
	size_t bytes = 1;
	for (size_t i = 0; i < n; i++)
		bytes += strlen(field[i].name) + strlen(field[i].value) + 2;
	to->field = malloc((n + 1) * sizeof *to->field);
	char *p = to->text = malloc(bytes);
	if (!to->field || !p)
		return VCR_ENOMEM;
	for (size_t i = 0; i < n; i++) {
		to->field[i].name = p;
		p = stpcpy(p, field[i].name) + 1;
		to->field[i].value = p;
		p = stpcpy(p, field[i].value) + 1;
	}
	to->n = n;
	return 0;
}

static void begin_body(struct body *b, bool keep, const struct vcr_http1_head *h)
{
	vcr_buf_init(&b->bytes, VCR_MAX_HTTP_BODY);
	b->keep = keep;
	if (keep && vcr_inflate_new(&b->coding, vcr_http1_field(h->field, h->nfield, "content-encoding"), NULL))
		b->coding = NULL; /* unknown: the bytes are kept as they are */
	if (keep && !vcr_http1_field(h->field, h->nfield, "content-encoding"))
		b->grpc = vcr_grpc_plain_new(h->field, h->nfield);
}

struct exchange *vcr_exchange_new(const struct vcr_http1_head *h, enum vcr_api api, const char *host, bool keep, size_t *held)
{
	struct exchange *x = calloc(1, sizeof *x);
	if (!x)
		return NULL;
	vcr_buf_init(&x->in.bytes, 0);
	vcr_buf_init(&x->aside, 0);
	vcr_buf_init(&x->turns, 0);
	begin_body(&x->out, keep, h);
	x->keep = keep;
	x->host = strdup(host);
	x->method = strdup(h->method);
	x->target = strdup(h->target);
	if (!x->host || !x->method || !x->target || copy_fields(&x->req, h->field, h->nfield)) {
		vcr_exchange_free(x, held);
		return NULL;
	}
	x->call.api = api;
	x->call.minor = h->minor;
	return x;
}

int vcr_exchange_response(struct exchange *x, const struct vcr_http1_head *h)
{
	const char *coding = vcr_http1_field(h->field, h->nfield, "content-encoding");
	if (x->call.status) /* cannot be: a response is one */
		return VCR_EINVAL;
	x->call.status = h->status;
	x->reason = h->reason ? strdup(h->reason) : NULL;
	x->coding = coding && *coding ? strdup(coding) : NULL;
	x->until_eof = !h->chunked && h->content_length < 0;
	begin_body(&x->in, x->keep, h);
	return copy_fields(&x->res, h->field, h->nfield);
}

int vcr_exchange_trailer(struct exchange *x, const struct vcr_http1_field *field, size_t n)
{
	return x->trailer.field ? 0 : copy_fields(&x->trailer, field, n);
}

static void take_bytes(struct body *b, const char *p, size_t n, size_t *held)
{
	size_t before = held_of(b);
	b->any = true;
	if (!b->keep || b->bad)
		return;
	if (*held > MAX_HELD)
		b->bad = true;
	else if (b->grpc ? vcr_grpc_plain_feed(b->grpc, p, n, &b->bytes) : b->coding ? vcr_inflate_feed(b->coding, p, n, &b->bytes) : vcr_buf_add(&b->bytes, p, n))
		b->bad = true;
	*held += held_of(b) - before;
}

int vcr_exchange_out(struct exchange *x, const char *p, size_t n, size_t *held)
{
	take_bytes(&x->out, p, n, held);
	return 0;
}

static int add_chunk(struct exchange *x, size_t offset, uint64_t at_ns)
{
	if (x->nchunk == MAX_CHUNKS)
		return 0;
	if (x->nchunk == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 8;
		struct vcr_chunk *c = realloc(x->chunk, cap * sizeof *c);
		if (!c)
			return VCR_ENOMEM;
		x->chunk = c;
		x->cap = cap;
	}
	x->chunk[x->nchunk++] = (struct vcr_chunk){ offset, at_ns };
	return 0;
}

int vcr_exchange_in(struct exchange *x, const char *p, size_t n, uint64_t at_ns, bool new_read, size_t *held)
{
	size_t before = x->in.bytes.len;
	x->last_ns = at_ns;
	take_bytes(&x->in, p, n, held);
	/* One read may come as several pieces (HTTP chunks); bytes may come of it only later (a decoder's window). */
	bool listed = x->nchunk && !new_read && x->chunk[x->nchunk - 1].time_ns == at_ns;
	return x->in.bytes.len > before && !listed ? add_chunk(x, before, at_ns) : 0;
}

static bool is_call(enum vcr_api api)
{
	return api != VCR_API_NONE && api != VCR_API_SIDE;
}

/* The body's coding ended as it should. */
static bool coded_well(const struct body *b)
{
	return !b->bad && !(b->coding && b->any && vcr_inflate_end(b->coding)) && !(b->grpc && vcr_grpc_plain_end(b->grpc));
}

/* Many clients turn away at "[DONE]" and never read HTTP's last chunk: when the API's own end was seen, nothing is missing. */
static void judge(struct exchange *x, const char *failure, bool whole, const struct vcr_answer_info *answer)
{
	struct vcr_call *c = &x->call;
	c->complete = whole;
	c->failure = failure || !x->answered || whole ? failure : "malformed";
	if (c->failure && answer && answer->complete) {
		c->complete = true;
		c->failure = NULL;
		if (x->last_ns && !x->answered)
			c->end_ns = x->last_ns;
	}
}

static void connect_pointers(struct exchange *x)
{
	struct vcr_call *c = &x->call;
	c->host = x->host;
	c->method = x->method;
	c->target = x->target;
	c->reason = x->reason ? x->reason : "";
	c->res_coding = x->coding;
	c->req_field = x->req.field;
	c->nreq_field = x->req.n;
	c->res_field = x->res.field;
	c->nres_field = x->res.n;
	c->res_trailer = x->trailer.field;
	c->nres_trailer = x->trailer.n;
	c->req_body = x->out.bytes.data;
	c->nreq_body = x->out.bytes.len;
	c->res_body = x->in.bytes.data;
	c->nres_body = x->in.bytes.len;
	c->chunk = x->chunk;
	c->nchunk = x->nchunk;
	c->aside = x->aside.data;
	c->naside = x->aside.len;
	c->turns = x->turns.data;
	c->nturns = x->turns.len;
}

void vcr_exchange_asked(struct exchange *x, const struct vcr_flow_events *ev, void *ctx, uint64_t time_ns)
{
	connect_pointers(x);
	if (ev->request)
		ev->request(ctx, &x->call, time_ns);
}

void vcr_exchange_tell(struct exchange *x, const char *failure, const struct vcr_flow_events *ev, void *ctx)
{
	struct vcr_call *c = &x->call;
	struct vcr_answer_info answer;
	bool read = false, whole = x->answered && coded_well(&x->in);
	if (x->keep && ev->call) {
		connect_pointers(x);
		if (is_call(c->api) && c->status) {
			const char *type = c->websocket ? "application/x-ndjson" : vcr_http1_field(c->res_field, c->nres_field, "content-type");
			read = !vcr_answer_read(c->api, c->status, type, c->res_body, c->nres_body, whole, &answer);
		}
		c->answer = read ? &answer : NULL;
		judge(x, failure, whole, c->answer);
		ev->call(ctx, c);
		if (read)
			vcr_answer_info_release(&answer);
	}
}

void vcr_exchange_report(struct exchange *x, const char *failure, const struct vcr_flow_events *ev, void *ctx, size_t *held)
{
	vcr_exchange_tell(x, failure, ev, ctx);
	vcr_exchange_free(x, held);
}
