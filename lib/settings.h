/* settings.h — files of settings, .vcr/config and .vcr/sentinel.conf: one a line, KEY VALUE; empty lines and lines that begin with # say nothing. */
#ifndef VCR_SETTINGS_H
#define VCR_SETTINGS_H
#include <stddef.h>
#include "error.h"

enum { VCR_MAX_SETTING = 4000 };
/* One setting: 0 or an error, *why saying it. value: without blanks at its ends; NULL: there is none. */
typedef int vcr_setting_fn(void *ctx, const char *key, const char *value, struct vcr_error *why);
/* Each setting of the file, up to the first that is not taken: its error, with file and line before it. No file: 0. VCR_EINVAL: it is no regular file; VCR_ELIMIT:
 * a line beyond 4,094 bytes. A key is cut at 31 bytes, which none has. */
int vcr_settings_read(const char *path, vcr_setting_fn *take, void *ctx, struct vcr_error *e);
/* The same of a text; path: for words. */
int vcr_settings_of(const char *path, const char *text, size_t n, vcr_setting_fn *take, void *ctx, struct vcr_error *e);

#endif
