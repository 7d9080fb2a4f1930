/* export-mermaid.c — a session as a flowchart in the language of mermaid.
 *
 * Bounded, because what draws it is: mermaid refuses a text of more than 50,000 characters and 500 edges. In labels everything but letters, digits and a few marks
 * is written as an entity, so that nothing in a recording is syntax: no quote, no %%{directive}, no markup. */
#include "export.h"
#include "tool.h"
#include "tree.h"
#include "words.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 45000, MAX_NODES = 480, NAME = 40, GIST = 60 };

/* Text that went through vcr_safe_line. */
static void put_label(struct vcr_buf *out, const struct vcr_buf *text)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,/_-+=()";
	for (size_t i = 0; i < text->len; i++) {
		unsigned char c = (unsigned char)text->data[i];
		if (c >= 0x80 || (c && strchr(plain, c)))
			vcr_buf_putc(out, (char)c);
		else
			vcr_buf_printf(out, "#%u;", c);
	}
}

static const char *shape_of(const struct vcr_reader_frame *f)
{
	static const struct { const char *type, *shape; } list[] = { { "llm", "llm" }, { "error", "error" }, { "checkpoint", "checkpoint" }, { "node", "node" } };
	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		if (!strcmp(list[i].type, f->type))
			return list[i].shape;
	return f->error_type ? "error" : "tool";
}

static void put_node(struct vcr_buf *out, const struct vcr_reader_frame *f)
{
	VCR_AUTO_BUF name = VCR_BUF_INIT, gist = VCR_BUF_INIT;
	vcr_safe_line(&name, f->node_name, strlen(f->node_name), NAME);
	vcr_gist(&gist, f, GIST);
	vcr_buf_printf(out, "\tf%lld[\"%lld ", (long long)f->index, (long long)f->index);
	put_label(out, &name);
	if (gist.len) {
		vcr_buf_puts(out, "<br/>");
		put_label(out, &gist);
	}
	vcr_buf_printf(out, "\"]:::%s\n", shape_of(f));
}

static void put_edge(struct vcr_buf *out, const struct vcr_branch *b, int64_t from, int64_t to)
{
	vcr_buf_printf(out, "\tf%lld %s f%lld\n", (long long)from, b->caused ? "-.->" : "-->", (long long)to);
}

static int put_frames(struct vcr_tool *t, struct vcr_reader *r, const struct vcr_branch *b, int64_t n, FILE *out)
{
	size_t size = 0;
	int status = 0;
	int64_t k = 0;
	for (; k < n && k < MAX_NODES; k++) {
		struct vcr_reader_frame f;
		struct vcr_error e = { 0 };
		VCR_AUTO_BUF text = VCR_BUF_INIT;
		if (vcr_reader_frame(r, b[k].frame, &f, &e)) {
			vcr_say(t, "%s", e.what);
			status = VCR_EXIT_FAILED;
			vcr_buf_printf(&text, "\tf%lld[\"%lld unreadable\"]:::error\n", (long long)k, (long long)k);
		} else {
			put_node(&text, &f);
		}
		if (b[k].parent >= 0)
			put_edge(&text, &b[k], b[b[k].parent].frame, b[k].frame);
		if (size + text.len > MAX_TEXT)
			break;
		size += text.len;
		fwrite(text.data, 1, text.len, out);
	}
	if (k < n) {
		fprintf(out, "\tmore[\"and %lld frames more\"]\n", (long long)(n - k));
		vcr_say(t, "%lld of %lld frames are in the chart: mermaid draws no more", (long long)k, (long long)n);
	}
	return status;
}

int vcr_export_mermaid(struct vcr_tool *t, struct vcr_reader *r, FILE *out)
{
	int64_t n = vcr_reader_count(r), *index = calloc((size_t)n + 1, sizeof *index);
	for (int64_t i = 0; index && i < n; i++)
		index[i] = i;
	struct vcr_branch *b = index ? vcr_branches(r, index, n) : NULL;
	int status = VCR_EXIT_FAILED;
	if (b) {
		fputs("flowchart TD\n", out);
		status = put_frames(t, r, b, n, out);
		fputs("\tclassDef llm stroke-width:2px\n\tclassDef error stroke:red,stroke-width:2px\n\tclassDef checkpoint stroke-dasharray:3\n\tclassDef node stroke-dasharray:6\n"
			"\tclassDef tool stroke-width:1px\n", out);
	} else {
		vcr_say(t, "out of memory");
	}
	free(index);
	free(b);
	return status;
}
