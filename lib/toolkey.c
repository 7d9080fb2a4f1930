#include "toolkey.h"
#include <string.h>

/* ---- Names that are made anew: codex's …/shell_snapshots/UUID.tmp-N, in nanoseconds; gemini-cli's …/gemini-shell-ABCDEF/ ---- */

static const char snapshots[] = "/shell_snapshots/", scratch[] = "/gemini-shell-";

static size_t snapshot(const char *text)
{
	static const char mark[] = ".tmp-";
	if (strncmp(text, snapshots, strlen(snapshots)))
		return 0;
	const char *end = text + strlen(snapshots) + strspn(text + strlen(snapshots), "0123456789abcdef-");
	return strncmp(end, mark, strlen(mark)) ? 0 : (size_t)(end - text) + strlen(mark) + strspn(end + strlen(mark), "0123456789");
}

static size_t scratch_name(const char *text)
{
	enum { RANDOM = 6 };
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	if (strncmp(text, scratch, strlen(scratch)) || strspn(text + strlen(scratch), letters) != RANDOM)
		return 0;
	return strlen(scratch) + RANDOM;
}

/* How long such a name is, from its directory on, and what it is told as; 0: it is none. */
static size_t made_anew(const char *text, const char **as)
{
	size_t n = *text != '/' ? 0 : snapshot(text);
	*as = n ? snapshots : scratch;
	return n || *text != '/' ? n : scratch_name(text);
}

static int put_part(const struct vcr_normal_context *c, const char *text, struct vcr_buf *out)
{
	VCR_AUTO_BUF part = VCR_BUF_INIT;
	const char *as;
	for (size_t n; *text; text += n ? n : 1)
		if ((n = made_anew(text, &as)))
			vcr_buf_puts(&part, as);
		else
			vcr_buf_putc(&part, *text);
	vcr_normal_text(c, part.data, part.len, out);
	vcr_buf_putc(out, 0);
	return part.err ? part.err : out->err;
}

/* ---- The wrapped command ---- */

/* The next word of a shell's line, at *at, which moves behind it; quotes of both kinds are taken off. False: there is none, or it is one that a shell would look into. */
static bool next_word(const char **at, struct vcr_buf *out)
{
	const char *p = *at + strspn(*at, " ");
	char quote = 0;
	vcr_buf_reset(out);
	if (!*p)
		return false;
	for (; *p && (quote || *p != ' '); p++) {
		if (!quote && (*p == '\'' || *p == '"'))
			quote = *p;
		else if (quote && *p == quote)
			quote = 0;
		else if (quote != '\'' && strchr("\\$`;&|<>()\n", *p))
			return false;
		else
			vcr_buf_putc(out, *p);
	}
	if (!quote)
		*at = p;
	return !quote;
}

static const char *last_exec(const char *text)
{
	static const char mark[] = "\nexec '";
	const char *found = NULL;
	for (const char *p = text; (p = strstr(p, mark)); p++)
		found = p;
	return found ? found + strlen(mark) - 1 : NULL;
}

/* SHELL -c, and then the text: the command that is in there, as it would be without. */
static bool unwrap(const struct vcr_buf *asked, size_t shell, struct vcr_buf *out)
{
	VCR_AUTO_BUF word = VCR_BUF_INIT;
	const char *option = asked->data + shell + strlen(asked->data + shell) + 1, *text = option + 3, *end = asked->data + asked->len;
	if (option + 3 >= end || strcmp(option, "-c") || strncmp(text, "__CODEX_SNAPSHOT_", 17))
		return false;
	const char *at = last_exec(text); /* a quoted line of the command that looks so is no whole line of words */
	if (!at || !next_word(&at, &word) || !next_word(&at, &word) || strcmp(word.data, "-c"))
		return false;
	vcr_buf_add(out, asked->data + shell, strlen(asked->data + shell) + 1);
	vcr_buf_add(out, "-lc", 4);
	while (next_word(&at, &word))
		vcr_buf_add(out, word.data, word.len + 1);
	return !*at;
}

int vcr_toolkey(const struct vcr_normal_context *c, const struct vcr_buf *asked, struct vcr_buf *out)
{
	VCR_AUTO_BUF command = VCR_BUF_INIT;
	size_t directory_size = asked->len ? strlen(asked->data) + 1 : 0;
	bool wrapped = directory_size < asked->len && unwrap(asked, directory_size, &command);
	int err = 0;
	for (size_t at = 0; !err && at < (wrapped ? directory_size : asked->len); at += strlen(asked->data + at) + 1)
		err = put_part(c, asked->data + at, out);
	for (size_t at = 0; !err && wrapped && at < command.len; at += strlen(command.data + at) + 1)
		err = put_part(c, command.data + at, out);
	return err ? err : command.err;
}
