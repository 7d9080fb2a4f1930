/* vcr import — cassettes of vcrpy and HAR files as a session that every other verb reads. */
#include "control.h"
#include "import.h"
#include "limits.h"
#include "options.h"
#include "paths.h"
#include "verbs.h"
#include "words.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct import {
	struct vcr_tool *t;
	const char *file;              /* that is being read */
	struct vcr_buf dir, path;      /* of the session */
	char id[VCR_MAX_SESSION_ID + 1];
	struct vcr_config config;
	struct vcr_import *to;         /* made with the first exchange */
	struct vcr_error e;            /* why the session could not be made */
	int64_t exchanges, left_out;
};

/* Waits for nothing (a pipe, a device) and reads no more than is taken. */
static int read_file(struct import *im, struct vcr_buf *out)
{
	struct stat st;
	int fd = open(im->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		vcr_say(im->t, "%s: %s", im->file, strerror(errno));
		if (fd >= 0)
			close(fd);
		return VCR_EXIT_USAGE;
	}
	int status = 0;
	if (!S_ISREG(st.st_mode)) {
		vcr_say(im->t, "%s is no file", im->file);
		status = VCR_EXIT_USAGE;
	} else if (st.st_size > VCR_MAX_CASSETTE) {
		vcr_say(im->t, "%s is larger than the %d MiB that are read", im->file, VCR_MAX_CASSETTE >> 20);
		status = VCR_EXIT_FAILED;
	}
	out->max = VCR_MAX_CASSETTE;
	for (ssize_t n = 1; !status && n;) {
		char *to = vcr_buf_reserve(out, 1 << 16);
		n = to ? read(fd, to, 1 << 16) : -1;
		if (n > 0)
			vcr_buf_added(out, (size_t)n);
		else if (n < 0 && (!to || errno != EINTR)) {
			vcr_say(im->t, "%s cannot be read: %s", im->file, to ? strerror(errno) : "too large");
			status = VCR_EXIT_FAILED;
		}
	}
	close(fd);
	return status;
}

static void on_skip(void *ctx, int64_t number, const char *what)
{
	struct import *im = ctx;
	if (strstr(what, "; left out"))
		im->left_out++;
	if (!im->t->quiet)
		vcr_say(im->t, "%s: exchange %lld: %s", im->file, (long long)number, what);
}

/* Where the session came from, for whoever reads it. */
static void write_metadata(const struct import *im, const char *kind, struct vcr_buf *out)
{
	const char *slash = strrchr(im->file, '/');
	struct vcr_jw w;
	vcr_jw_init(&w, out);
	vcr_jw_object(&w);
	vcr_jw_key(&w, "imported_from");
	vcr_jw_str(&w, slash ? slash + 1 : im->file);
	vcr_jw_key(&w, "imported_kind");
	vcr_jw_str(&w, kind);
	vcr_jw_object_end(&w);
}

static int make_session(struct import *im, const struct vcr_taped *x)
{
	VCR_AUTO_BUF metadata = VCR_BUF_INIT;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	write_metadata(im, x->plain ? "har" : "vcrpy", &metadata);
	struct vcr_import_options o = { im->dir.data, im->id, &im->config, vcr_control_prices_path(), metadata.data, environ, (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 };
	if (x->at_us > 0)
		o.from_us = x->at_us;
	return vcr_import_new(&im->to, &o, &im->e);
}

static int on_exchange(void *ctx, const struct vcr_taped *x)
{
	struct import *im = ctx;
	struct vcr_error e = { 0 };
	int err = im->to ? 0 : make_session(im, x);
	if (err)
		return err;
	if ((err = vcr_import_add(im->to, x, &e)) < 0) {
		im->e = e;
		return err;
	}
	if (err) {
		VCR_AUTO_BUF words = VCR_BUF_INIT;
		vcr_buf_printf(&words, "%s; left out", e.what);
		on_skip(im, x->number, words.data);
	}
	im->exchanges += !err;
	return 0;
}

static int read_one(struct import *im)
{
	VCR_AUTO_BUF text = VCR_BUF_INIT;
	enum vcr_cassette_kind kind;
	struct vcr_error e = { 0 };
	int status = read_file(im, &text);
	if (status)
		return status;
	if (!vcr_cassette_read(text.data, text.len, &kind, on_exchange, on_skip, im, &e))
		return 0;
	if (im->e.code)
		return vcr_failed(im->t, &im->e);
	vcr_say(im->t, "%s: %s", im->file, e.what);
	return VCR_EXIT_FAILED;
}

static void tell(const struct import *im, const struct vcr_import_totals *n)
{
	if (im->t->json) {
		VCR_AUTO_BUF b = VCR_BUF_INIT;
		struct vcr_jw w;
		const struct { const char *key; int64_t n; } numbers[] = { { "exchanges", im->exchanges }, { "left_out", im->left_out }, { "frames", n->frames },
			{ "model_calls", n->calls }, { "tokens", n->tokens } };
		vcr_jw_init(&w, &b);
		vcr_jw_object(&w);
		vcr_jw_key(&w, "session_id");
		vcr_jw_str(&w, im->id);
		vcr_jw_key(&w, "path");
		vcr_jw_str(&w, im->path.data);
		for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
			vcr_jw_key(&w, numbers[i].key);
			vcr_jw_int(&w, numbers[i].n);
		}
		vcr_jw_object_end(&w);
		printf("%s\n", b.data);
	} else if (!im->t->quiet) {
		printf("%s: %lld %s, %lld of them %s\n", im->id, (long long)im->exchanges, im->exchanges == 1 ? "exchange" : "exchanges", (long long)n->calls,
			n->calls == 1 ? "a call of a model" : "calls of models");
	}
}

/* All of the files, or no session. */
static int import_all(struct import *im, char **file, int n)
{
	struct vcr_import_totals totals;
	int status = 0;
	if (!access(im->path.data, F_OK)) {
		vcr_say(im->t, "%s exists already; choose another session id", im->path.data);
		return VCR_EXIT_USAGE;
	}
	for (int i = 0; i < n && !status; i++) {
		im->file = file[i];
		status = read_one(im);
	}
	if (!status && !im->to) {
		vcr_say(im->t, "there is no exchange in %s", n == 1 ? file[0] : "these files");
		return VCR_EXIT_FAILED;
	}
	if (!status && vcr_import_end(im->to, &totals, &im->e))
		status = vcr_failed(im->t, &im->e);
	else if (status)
		vcr_import_free(im->to);
	if (status && im->to && im->e.code != VCR_EEXIST) /* made with O_EXCL: ours, unless there was one */
		unlink(im->path.data);
	if (!status)
		tell(im, &totals);
	return status;
}

static int prepare(struct import *im, const char *session)
{
	int err = vcr_tool_dir(im->t, &im->dir, &im->e);
	if (!err && session)
		err = vcr_paths_check_session_id(session, &im->e);
	if (err)
		return vcr_failed(im->t, &im->e);
	if (session)
		strcpy(im->id, session);
	else if ((err = vcr_paths_new_session_id(im->id)) != 0)
		return vcr_failed(im->t, &(struct vcr_error){ .code = err });
	vcr_buf_printf(&im->path, "%s/%s.vcr", im->dir.data, im->id);
	return vcr_config_load(&im->config, im->dir.data, &im->e) ? vcr_failed(im->t, &im->e) : 0;
}

int vcr_verb_import(struct vcr_tool *t, int argc, char **argv)
{
	struct import im = { .t = t, .dir = VCR_BUF_INIT, .path = VCR_BUF_INIT };
	const char *session = NULL;
	const struct vcr_opt opts[] = {
		{ 's', "session", "ID", VCR_OPT_STRING, &session, "the name of the session that is made; one with date and time unless given" },
		VCR_OPT_VCR_DIR(t), VCR_OPT_LAST,
	};
	const struct vcr_usage u = { "FILE...", "Make a session from cassettes of vcrpy (YAML or JSON) and HAR files, which every other verb reads.", opts, false };
	int status, n = vcr_options_parse(t, &u, argc, argv, &status);
	if (n < 0)
		return status;
	if (!n)
		return vcr_wrong_call(t, "which file?");
	status = prepare(&im, session);
	if (!status)
		status = import_all(&im, argv, n);
	vcr_config_release(&im.config);
	vcr_buf_release(&im.dir);
	vcr_buf_release(&im.path);
	return status;
}
