#include "mcp.h"
#include "limits.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_ASKED = 1024, MAX_STRANGE = 16 };

/* A request without an answer yet. */
struct asked {
	struct asked *next;
	bool from_server;
	uint64_t start_ns;
	size_t len;
	char text[];                 /* the message */
};

struct vcr_mcp {
	int (*call)(void *ctx, const struct vcr_mcp_call *c);
	void *ctx;
	struct vcr_buf line[2];      /* what has come of the line under way: of the client, of the server */
	struct asked *first, *last;
	unsigned nasked, strange;
	int err;
};

struct vcr_mcp *vcr_mcp_new(int (*call)(void *ctx, const struct vcr_mcp_call *c), void *ctx)
{
	struct vcr_mcp *m = calloc(1, sizeof *m);
	if (!m)
		return NULL;
	m->call = call;
	m->ctx = ctx;
	for (int i = 0; i < 2; i++)
		vcr_buf_init(&m->line[i], VCR_MAX_RPC_MESSAGE);
	return m;
}

void vcr_mcp_free(struct vcr_mcp *m)
{
	if (!m)
		return;
	for (struct asked *a = m->first, *next; a; a = next) {
		next = a->next;
		free(a);
	}
	for (int i = 0; i < 2; i++)
		vcr_buf_release(&m->line[i]);
	free(m);
}

static int report(struct vcr_mcp *m, struct vcr_mcp_call *c)
{
	char *method = vcr_json_strdup(c->request, vcr_json_get(c->request, c->at, "method"));
	c->method = method ? method : "";
	int r = m->call(m->ctx, c);
	free(method);
	return r;
}

/* Report and forget. response: NULL when none came. */
static int finish(struct vcr_mcp *m, struct asked *a, const struct vcr_json *response, int at, uint64_t time_ns)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	struct vcr_mcp_call c = { .from_server = a->from_server, .request = &j, .response = response, .response_at = at, .answered = response != NULL,
		.start_ns = a->start_ns, .end_ns = time_ns };
	int r = vcr_json_parse(&j, a->text, a->len, VCR_JSON_RELAXED, NULL);
	if (!r)
		r = report(m, &c);
	free(a);
	return r;
}

static int ask(struct vcr_mcp *m, bool from_server, const struct vcr_json *j, int at, uint64_t time_ns)
{
	size_t n;
	const char *text = vcr_json_raw(j, at, &n);
	struct asked *a = m->nasked < MAX_ASKED ? malloc(sizeof *a + n) : NULL;
	if (!a)
		return m->nasked < MAX_ASKED ? VCR_ENOMEM : VCR_ELIMIT;
	*a = (struct asked){ .from_server = from_server, .start_ns = time_ns, .len = n };
	memcpy(a->text, text, n);
	if (m->last)
		m->last->next = a;
	else
		m->first = a;
	m->last = a;
	m->nasked++;
	return 0;
}

static bool same_id(const struct asked *a, const struct vcr_json *answer, int id)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	return !vcr_json_parse(&j, a->text, a->len, VCR_JSON_RELAXED, NULL) && vcr_json_equal(&j, vcr_json_get(&j, 0, "id"), answer, id);
}

static int answer(struct vcr_mcp *m, bool from_server, const struct vcr_json *j, int at, uint64_t time_ns)
{
	int id = vcr_json_get(j, at, "id");
	struct asked *before = NULL;
	for (struct asked *a = m->first; a; before = a, a = a->next) {
		if (a->from_server == from_server || !same_id(a, j, id))
			continue;
		*(before ? &before->next : &m->first) = a->next;
		if (m->last == a)
			m->last = before;
		m->nasked--;
		return finish(m, a, j, at, time_ns);
	}
	return 0; /* of a request that was not seen */
}

static int take_message(struct vcr_mcp *m, bool from_server, const struct vcr_json *j, int at, uint64_t time_ns)
{
	bool method = vcr_json_type(j, vcr_json_get(j, at, "method")) == VCR_JSON_STRING;
	enum vcr_json_type id = vcr_json_type(j, vcr_json_get(j, at, "id"));
	bool has_id = id == VCR_JSON_STRING || id == VCR_JSON_NUMBER;
	if (!vcr_json_is(j, vcr_json_get(j, at, "jsonrpc"), "2.0") || (!method && !has_id)) {
		m->strange++;
		return 0;
	}
	m->strange = 0;
	if (method && has_id)
		return ask(m, from_server, j, at, time_ns);
	if (!method)
		return answer(m, from_server, j, at, time_ns);
	struct vcr_mcp_call c = { .from_server = from_server, .request = j, .at = at, .notification = true, .start_ns = time_ns, .end_ns = time_ns };
	return report(m, &c);
}

static int take_line(struct vcr_mcp *m, bool from_server, const char *p, size_t n, uint64_t time_ns)
{
	VCR_AUTO_JSON j = VCR_JSON_INIT;
	int r = 0;
	if (!n || (n == 1 && *p == '\r'))
		return 0;
	if ((r = vcr_json_parse(&j, p, n, VCR_JSON_RELAXED, NULL)) == VCR_ENOMEM)
		return r;
	if (r || vcr_json_type(&j, 0) < VCR_JSON_OBJECT || vcr_json_type(&j, 0) > VCR_JSON_ARRAY) {
		m->strange++;
		return 0;
	}
	if (vcr_json_type(&j, 0) == VCR_JSON_OBJECT)
		return take_message(m, from_server, &j, 0, time_ns);
	r = 0;
	for (int i = vcr_json_first(&j, 0); i >= 0 && !r; i = vcr_json_next(&j, i))
		r = take_message(m, from_server, &j, i, time_ns);
	return r;
}

int vcr_mcp_feed(struct vcr_mcp *m, bool from_server, const char *p, size_t n, uint64_t time_ns)
{
	struct vcr_buf *line = &m->line[from_server];
	while (n && !m->err) {
		const char *lf = memchr(p, '\n', n);
		size_t k = lf ? (size_t)(lf - p) : n;
		if (vcr_buf_add(line, p, k))
			m->err = line->err;
		else if (lf) {
			m->err = take_line(m, from_server, line->data, line->len, time_ns);
			vcr_buf_release(line);
			line->max = VCR_MAX_RPC_MESSAGE;
		}
		if (!m->err && m->strange >= MAX_STRANGE)
			m->err = VCR_ESYNTAX;
		p += k + (lf != NULL);
		n -= k + (lf != NULL);
	}
	return m->err;
}

int vcr_mcp_end(struct vcr_mcp *m, uint64_t time_ns)
{
	int r = 0;
	while (m->first) {
		struct asked *a = m->first;
		m->first = a->next;
		m->nasked--;
		int one = finish(m, a, NULL, -1, time_ns);
		r = r ? r : one;
	}
	m->last = NULL;
	return r;
}
