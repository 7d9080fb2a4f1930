#include "words.h"
#include "tool.h"
#include <string.h>
#include <time.h>

void vcr_words_ms(struct vcr_buf *out, double ms)
{
	int64_t s = (int64_t)(ms / 1000);
	if (!(ms >= 0) || ms > 1e14)
		vcr_buf_putc(out, '?');
	else if (ms < 999.5)
		vcr_buf_printf(out, "%.0fms", ms);
	else if (ms < 59995)
		vcr_buf_printf(out, "%.2fs", ms / 1000);
	else if (s < 3600)
		vcr_buf_printf(out, "%lldm%02llds", (long long)s / 60, (long long)s % 60);
	else
		vcr_buf_printf(out, "%lldh%02lldm", (long long)s / 3600, (long long)s / 60 % 60);
}

void vcr_words_bytes(struct vcr_buf *out, int64_t n)
{
	static const char unit[] = "KMGT";
	double v = (double)n;
	int u = -1;
	for (; v >= 1000 && u < 3; u++)
		v /= 1000;
	vcr_buf_printf(out, u < 0 ? "%.0f" : "%.1f%c", v, u < 0 ? 0 : unit[u]);
}

void vcr_words_time(struct vcr_buf *out, int64_t ns, const char *format)
{
	char text[80];
	time_t t = (time_t)(ns / 1000000000);
	struct tm tm;
	if (ns && localtime_r(&t, &tm) && strftime(text, sizeof text, format, &tm))
		vcr_buf_puts(out, text);
	else
		vcr_buf_putc(out, '?');
}

void vcr_words_iso(struct vcr_buf *out, int64_t ns)
{
	char text[40];
	int64_t s = ns / 1000000000, rest = ns % 1000000000;
	time_t t = (time_t)(rest < 0 ? s - 1 : s);
	struct tm tm;
	if (gmtime_r(&t, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm))
		vcr_buf_printf(out, "%s.%06d+00:00", text, (int)((rest < 0 ? rest + 1000000000 : rest) / 1000));
}

void vcr_words_tokens(struct vcr_buf *out, const struct vcr_reader_frame *f)
{
	if (f->tokens_in >= 0 && f->tokens_out >= 0)
		vcr_buf_printf(out, "%lld+%lld", (long long)f->tokens_in, (long long)f->tokens_out);
	else if (f->tokens >= 0)
		vcr_buf_printf(out, "%lld", (long long)f->tokens);
}

void vcr_words_cost(struct vcr_buf *out, double usd)
{
	if (usd >= 0)
		vcr_buf_printf(out, "$%.4f", usd);
}

void vcr_words_ledger(struct vcr_buf *out, const struct vcr_ledger *l)
{
	double ms = l->original.ms - l->replay.ms;
	vcr_buf_printf(out, "%lld call%s replayed", (long long)l->replayed, l->replayed == 1 ? "" : "s");
	if (l->live)
		vcr_buf_printf(out, ", %lld live", (long long)l->live);
	vcr_buf_printf(out, ": %lld tokens, $%.4f and ", (long long)(l->original.tokens - l->replay.tokens), l->original.cost_usd - l->replay.cost_usd);
	vcr_words_ms(out, ms > 0 ? ms : 0);
	vcr_buf_printf(out, " saved (%.0f%%)", vcr_ledger_percent(l));
}

void vcr_words_quoted(struct vcr_buf *out, const char *s, size_t n)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,@%+";
	size_t i = 0;
	while (i < n && s[i] && strchr(plain, s[i]))
		i++;
	if (n && i == n) {
		vcr_buf_add(out, s, n);
		return;
	}
	vcr_buf_putc(out, '\'');
	for (size_t from = 0; from < n;) {
		const char *q = memchr(s + from, '\'', n - from);
		size_t to = q ? (size_t)(q - s) : n;
		vcr_safe(out, s + from, to - from, 0);
		if (q)
			vcr_buf_puts(out, "'\\''");
		from = to + (q != NULL);
	}
	vcr_buf_putc(out, '\'');
}

/* ---- JSON ---- */

static void json_string(struct vcr_buf *out, const struct vcr_json *j, int v)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	vcr_json_str(j, v, &text);
	vcr_buf_putc(out, '"');
	for (size_t from = 0; from < text.len;) {
		size_t plain = from;
		while (plain < text.len && text.data[plain] != '"' && text.data[plain] != '\\')
			plain++;
		vcr_safe(out, text.data + from, plain - from, 0);
		if (plain < text.len)
			vcr_buf_printf(out, "\\%c", text.data[plain]);
		from = plain + 1;
	}
	vcr_buf_putc(out, '"');
}

static void new_line(struct vcr_buf *out, unsigned indent)
{
	vcr_buf_printf(out, "\n%*s", (int)indent, "");
}

void vcr_words_json(struct vcr_buf *out, const struct vcr_json *j, int v, unsigned indent)
{
	enum vcr_json_type type = vcr_json_type(j, v);
	bool object = type == VCR_JSON_OBJECT, first = true;
	size_t n;
	const char *raw = vcr_json_raw(j, v, &n);
	if (type == VCR_JSON_STRING) {
		json_string(out, j, v);
		return;
	}
	if ((!object && type != VCR_JSON_ARRAY) || !vcr_json_count(j, v)) {
		vcr_safe(out, !n ? "null" : object ? "{}" : type == VCR_JSON_ARRAY ? "[]" : raw, !n ? 4 : type == VCR_JSON_ARRAY || object ? 2 : n, 0);
		return;
	}
	vcr_buf_putc(out, object ? '{' : '[');
	for (int m = vcr_json_first(j, v); m >= 0 && !out->err; m = vcr_json_next(j, m), first = false) {
		vcr_buf_puts(out, first ? "" : ",");
		new_line(out, indent + 2);
		if (object) {
			json_string(out, j, m);
			vcr_buf_puts(out, ": ");
		}
		vcr_words_json(out, j, object ? vcr_json_value(j, m) : m, indent + 2);
	}
	new_line(out, indent);
	vcr_buf_putc(out, object ? '}' : ']');
}

static int64_t number(const struct vcr_json *j, int object, const char *key)
{
	int64_t n = 0;
	vcr_json_int(j, vcr_json_get(j, object, key), &n);
	return n;
}

void vcr_words_files(struct vcr_buf *out, const struct vcr_json *j, int files, const char *indent)
{
	if (vcr_json_type(j, files) != VCR_JSON_OBJECT)
		return;
	int64_t bursts = number(j, files, "bursts"), known = number(j, files, "known"), most = number(j, files, "known_at_most");
	if (bursts)
		vcr_buf_printf(out, "%sstorms: %lld file change%s told by %lld frame%s (more than %lld of one place; burst in .vcr/config)\n", indent, (long long)number(j, files, "coalesced"),
			number(j, files, "coalesced") == 1 ? " is" : "s are", (long long)bursts, bursts == 1 ? "" : "s", (long long)number(j, files, "burst_limit"));
	if (most && known >= most)
		vcr_buf_printf(out, "%slimit: %lld files are known, changes of others are not told (known-files in .vcr/config)\n", indent, (long long)known);
	if (number(j, files, "unwatched"))
		vcr_buf_printf(out, "%slimit: %lld directories could not be watched (fs.inotify.max_user_watches, or watched-directories in .vcr/config); they are looked at in the end\n", indent,
			(long long)number(j, files, "unwatched"));
	if (number(j, files, "overflows"))
		vcr_buf_printf(out, "%slimit: the kernel dropped notices of changes %lld times; everything was looked at again\n", indent, (long long)number(j, files, "overflows"));
}

void vcr_words_kept(struct vcr_buf *out, const struct vcr_json *j, int savepoints, const char *indent)
{
	int64_t n = vcr_json_type(j, savepoints) == VCR_JSON_OBJECT ? number(j, savepoints, "not_kept") : 0;
	if (n)
		vcr_buf_printf(out, "%slimit: %lld file%s that no savepoint holds went without being kept, for want of room; vcr-gc makes some\n", indent, (long long)n, n == 1 ? "" : "s");
}
