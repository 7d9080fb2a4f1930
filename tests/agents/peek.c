/* peek — what the library makes of a session, for tests to compare.
 *
 *   peek dump SESSION-FILE DIR       DIR/<ref> is each body, rebuilt; DIR/<frame id>.input each frame's complete input state. Prints a line for
 *                                    each warning; exit 1 if anything could not be rebuilt
 *   peek settle VCR-DIR MILLISECONDS wait for its collectors as a tool does that is started right after the agent */
#include "control.h"
#include "reader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dump {
	struct vcr_reader *reader;
	const char *dir;
	char **ref;
	size_t nref;
	int failed;
};

static int put(const char *dir, const char *name, const char *ending, const struct vcr_buf *b)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s%s", dir, name, ending);
	FILE *f = strchr(name, '/') ? NULL : fopen(path, "w");
	if (!f)
		return -1;
	fwrite(b->data, 1, b->len, f);
	return fclose(f);
}

static void warn(void *ctx, const char *path, int64_t line, const char *what)
{
	printf("%s:%lld: %s\n", path, (long long)line, what);
}

static int note(void *ctx, const struct vcr_json *j, int data, int64_t line)
{
	struct dump *d = ctx;
	char *ref = vcr_json_strdup(j, vcr_json_get(j, data, "ref")), **grown = realloc(d->ref, (d->nref + 1) * sizeof *grown);
	if (grown)
		d->ref = grown;
	if (!ref || !grown) {
		free(ref);
		d->failed++;
		return 0;
	}
	d->ref[d->nref++] = ref;
	return 0;
}

static void bodies(struct dump *d)
{
	struct vcr_error e = { 0 };
	d->failed += vcr_reader_each(d->reader, "vcr.body", note, d, &e) < 0;
	for (size_t i = 0; i < d->nref; i++) {
		VCR_AUTO_BUF body = VCR_BUF_INIT;
		if (vcr_reader_body(d->reader, d->ref[i], &body, &e) || put(d->dir, d->ref[i], "", &body))
			d->failed += printf("body %s: %s\n", d->ref[i], e.what) > 0;
		free(d->ref[i]);
	}
	free(d->ref);
}

static void inputs(struct dump *d)
{
	struct vcr_error e = { 0 };
	for (int64_t i = 0; i < vcr_reader_count(d->reader); i++) {
		VCR_AUTO_BUF full = VCR_BUF_INIT;
		struct vcr_reader_frame f;
		char id[64] = "";
		if (!vcr_reader_frame(d->reader, i, &f, &e))
			snprintf(id, sizeof id, "%s", f.frame_id);
		if (!*id || vcr_reader_full_input(d->reader, i, &full, &e) || put(d->dir, id, ".input", &full))
			d->failed += printf("frame %lld: %s\n", (long long)i, e.what) > 0;
	}
}

static int dump(const char *path, const char *dir)
{
	struct dump d = { .dir = dir };
	struct vcr_error e = { 0 };
	if (vcr_reader_open(&d.reader, path, warn, NULL, &e)) {
		printf("%s\n", e.what);
		return 1;
	}
	bodies(&d);
	inputs(&d);
	vcr_reader_free(d.reader);
	return d.failed ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "dump"))
		return dump(argv[2], argv[3]);
	if (argc == 4 && !strcmp(argv[1], "settle")) {
		vcr_control_settle(argv[2], atoi(argv[3]));
		return 0;
	}
	fputs("usage: peek dump SESSION-FILE DIR | peek settle VCR-DIR MILLISECONDS\n", stderr);
	return 2;
}
