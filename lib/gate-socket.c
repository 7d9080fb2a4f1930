/* gate-socket.c — a WebSocket's handshake (RFC 6455 §4.2), and its bytes, whatever they say. */
#include "gate-parts.h"
#include "limits.h"
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

enum { KEY_LEN = 24 }; /* base64 of 16 bytes */

/* Is that word in a field that is a list? */
static bool lists(const char *value, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = value ? value : ""; *(p += strspn(p, " \t,")); p += strcspn(p, ","))
		if (strcspn(p, " \t,") == n && !strncasecmp(p, word, n))
			return true;
	return false;
}

/* The proof that the request was understood as what it is. */
static int write_accept(const char *key, struct vcr_buf *out)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	vcr_buf_printf(&text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	if (EVP_Digest(text.data, text.len, digest, &n, EVP_sha1(), NULL) != 1)
		return VCR_ENOMEM;
	return vcr_buf_base64(out, digest, n);
}

bool vcr_gate_socket_asked(const struct vcr_gate_exchange *c)
{
	const struct vcr_gate_request *q = &c->request;
	const char *key = vcr_http1_field(q->field, q->nfield, "sec-websocket-key");
	return !c->socket && !strcmp(q->method, "GET") && q->minor && key && strlen(key) == KEY_LEN && lists(vcr_http1_field(q->field, q->nfield, "upgrade"), "websocket") &&
		c->gate->o.handler->input;
}

void vcr_gate_socket_begun(struct vcr_gate_exchange *c)
{
	c->head_sent = c->socket = true;
	c->keep_alive = c->no_body = c->chunked = false;
	c->left = -1;
	if (c->early.len) /* it did not wait */
		vcr_gate_later(c);
}

bool vcr_gate_http_will_do(const struct vcr_gate_request *q)
{
	static const char *const fields[] = { "originator", "user-agent" }; /* codex_cli_rs, codex_exec and the like */
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		const char *who = vcr_http1_field(q->field, q->nfield, fields[i]);
		if (who && !strncasecmp(who, "codex", 5))
			return true;
	}
	return false;
}

void vcr_gate_no_socket(struct vcr_gate_exchange *c)
{
	static const struct vcr_http1_field http = { "Upgrade", "HTTP/1.1" };
	static const char words[] = "vcr: no WebSocket here; use HTTP\n";
	vcr_gate_simple(c, 426, NULL, words, sizeof words - 1, &http);
}

int vcr_gate_socket(struct vcr_gate_exchange *c, const char *protocol)
{
	const struct vcr_gate_request *q = &c->request;
	VCR_AUTO_BUF proof = VCR_BUF_INIT;
	if (c->dead)
		return VCR_EIO;
	if (!vcr_gate_socket_asked(c))
		return VCR_EINVAL;
	int err = write_accept(vcr_http1_field(q->field, q->nfield, "sec-websocket-key"), &proof);
	struct vcr_http1_field field[] = { { "Sec-WebSocket-Accept", proof.data }, { "Sec-WebSocket-Protocol", protocol } };
	bool taken = protocol && lists(vcr_http1_field(q->field, q->nfield, "sec-websocket-protocol"), protocol);
	if (!err && !(err = vcr_gate_head(c, 101, "Switching Protocols", field, taken ? 2 : 1, -1)))
		err = vcr_gate_flush(c);
	return err;
}

int vcr_gate_send(struct vcr_gate_exchange *c, const char *p, size_t n)
{
	if (c->dead)
		return VCR_EIO;
	if (c->state != ANSWER || !c->socket || c->ended)
		return VCR_EINVAL;
	vcr_buf_add(&c->pending, p, n);
	return vcr_gate_flush(c);
}

void vcr_gate_full(struct vcr_gate_exchange *c, bool full)
{
	if (c->dead || c->state != ANSWER || !c->socket || c->ended)
		return;
	c->full = full;
	vcr_gate_conn_read(c, !full && !c->eof && vcr_gate_backlog(c) <= VCR_MAX_GATE_BACKLOG);
}
