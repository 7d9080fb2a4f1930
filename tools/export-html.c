/* export-html.c — a session as one page that needs nothing else: no script, no picture, no request to anywhere.
 *
 * A frame is shown as vcr-show --new shows it. What that writes for a terminal is safe text (tool.h) with our own colour sequences; here those become
 * spans and everything else is escaped, so nothing in a recording is markup. A policy in the page's head forbids the rest. */
#include "export.h"
#include "show.h"
#include "words.h"
#include <string.h>

enum { GIST = 90 };

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n"
	"<meta name=\"referrer\" content=\"no-referrer\">\n<style>\n"
	":root{color-scheme:light dark}\n"
	"body{margin:0 auto;max-width:72rem;padding:1rem;font:16px/1.5 system-ui,sans-serif}\n"
	"header p{margin:.2rem 0}\n"
	"details{border:1px solid #8884;border-radius:6px;margin:.4rem 0}\n"
	"summary{padding:.3rem .7rem;cursor:pointer;overflow-wrap:anywhere}\n"
	"summary b{font-weight:600}\n"
	"pre{margin:0;padding:.2rem .9rem .8rem;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.45 ui-monospace,monospace}\n"
	".n{opacity:.6;display:inline-block;min-width:3rem;font-variant-numeric:tabular-nums}\n"
	".llm summary{background:#3b82f622}.error summary{background:#ef444433}.tool summary{background:#8881}.checkpoint summary,.node summary{background:#a855f722}\n"
	".s1{font-weight:700}.s2{opacity:.6}.s31{color:#c62828}.s32{color:#2e7d32}.s33{color:#a15c00}.s34{color:#1e5fbf}.s35{color:#8e24aa}.s36{color:#00796b}\n"
	"@media(prefers-color-scheme:dark){.s31{color:#ff8a80}.s32{color:#a5d6a7}.s33{color:#ffcc80}.s34{color:#90caf9}.s35{color:#e1bee7}.s36{color:#80cbc4}}\n"
	"</style>\n";

static void put_text(struct vcr_buf *out, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		switch (p[i]) {
		case '&': vcr_buf_puts(out, "&amp;"); break;
		case '<': vcr_buf_puts(out, "&lt;"); break;
		case '>': vcr_buf_puts(out, "&gt;"); break;
		case '"': vcr_buf_puts(out, "&quot;"); break;
		case '\'': vcr_buf_puts(out, "&#39;"); break;
		default: vcr_buf_putc(out, p[i]);
		}
}

/* ESC [ digits m; returns its length. Only vcr_on writes such. */
static size_t colour_at(const char *p, size_t n, int *code)
{
	size_t i = 2;
	*code = 0;
	if (n < 3 || p[0] != '\033' || p[1] != '[')
		return 0;
	for (; i < n && i < 4 && p[i] >= '0' && p[i] <= '9'; i++)
		*code = *code * 10 + (p[i] - '0');
	return i < n && p[i] == 'm' ? i + 1 : 0;
}

static void put_coloured(struct vcr_buf *out, const char *p, size_t n)
{
	bool open = false;
	for (size_t i = 0, k; i < n; i += k) {
		const char *esc = memchr(p + i, '\033', n - i);
		int code;
		k = esc ? (size_t)(esc - p) - i : n - i;
		put_text(out, p + i, k);
		i += k;
		k = i < n ? colour_at(p + i, n - i, &code) : 0;
		if (i < n && !k) {
			k = 1; /* none of ours: it is not shown */
			continue;
		}
		if (k && open)
			vcr_buf_puts(out, "</span>");
		if (k)
			open = code != 0;
		if (k && code)
			vcr_buf_printf(out, "<span class=\"s%d\">", code);
	}
	vcr_buf_puts(out, open ? "</span>" : "");
}

static const char *class_of(const char *type)
{
	static const char *const types[] = { "llm", "error", "tool", "checkpoint", "node" };
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (!strcmp(type, types[i]))
			return types[i];
	return "other";
}

static void put_summary(struct vcr_buf *out, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT, gist = VCR_BUF_INIT;
	vcr_safe_line(&name, f->node_name, strlen(f->node_name), 60);
	vcr_gist(&gist, f, GIST);
	vcr_buf_printf(out, "<summary><span class=\"n\">%lld</span> <b>", (long long)f->index);
	put_text(out, name.data, name.len);
	vcr_buf_puts(out, "</b> ");
	put_text(out, gist.data, gist.len);
	vcr_buf_puts(out, "</summary>\n");
}

static int put_frame(struct vcr_tool *t, struct vcr_reader *r, int64_t index, FILE *to)
{
	VCR_AUTO_BUF out = VCR_BUF_INIT, text = VCR_BUF_INIT;
	struct vcr_reader_frame f;
	struct vcr_error e = { 0 };
	int status = 0;
	if (vcr_reader_frame(r, index, &f, &e)) {
		vcr_say(t, "%s", e.what);
		return VCR_EXIT_FAILED;
	}
	vcr_buf_printf(&out, "<details class=\"%s\" id=\"f%lld\"%s>\n", class_of(f.type), (long long)index, vcr_reader_brief(r, index).call ? " open" : "");
	put_summary(&out, &f);
	if (vcr_show_news(t, r, index, &text, &e)) {
		vcr_say(t, "%s", e.what);
		status = VCR_EXIT_FAILED;
	}
	vcr_buf_puts(&out, "<pre>");
	put_coloured(&out, text.data, text.len);
	vcr_buf_puts(&out, "</pre>\n</details>\n");
	fwrite(out.data, 1, out.len, to);
	return out.err ? VCR_EXIT_FAILED : status;
}

static void put_head(struct vcr_reader *r, FILE *to)
{
	const struct vcr_reader_session *s = vcr_reader_session(r);
	VCR_AUTO_BUF name = VCR_BUF_INIT, id = VCR_BUF_INIT, when = VCR_BUF_INIT, cost = VCR_BUF_INIT;
	vcr_safe_line(&id, s->session_id, strlen(s->session_id), 0);
	put_text(&name, id.data, id.len);
	vcr_words_time(&when, s->created_ns, "%Y-%m-%d %H:%M:%S");
	vcr_words_cost(&cost, s->total_cost_usd);
	fprintf(to, "%s<title>%s</title>\n</head>\n<body>\n<header>\n<h1>%s</h1>\n<p>%s · %lld frames · %lld errors · %lld tokens · %s%s</p>\n</header>\n<main>\n", head, name.data, name.data,
		when.data, (long long)vcr_reader_count(r), (long long)s->errors, (long long)s->total_tokens, cost.data, s->ended ? "" : " · not ended in order");
}

int vcr_export_html(struct vcr_tool *t, struct vcr_reader *r, FILE *out)
{
	bool paint = t->paint;
	int worst = 0;
	put_head(r, out);
	t->paint = true;
	for (int64_t i = 0; i < vcr_reader_count(r); i++) {
		int status = put_frame(t, r, i, out);
		worst = status > worst ? status : worst;
	}
	t->paint = paint;
	fputs("</main>\n</body>\n</html>\n", out);
	return worst;
}
