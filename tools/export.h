/* export.h — what verb-export.c, export-mermaid.c, export-html.c and export-cassette.c share. */
#ifndef VCR_EXPORT_H
#define VCR_EXPORT_H
#include <stdio.h>
#include "reader.h"
#include "tool.h"

/* The session as a chart. 0, or an exit status; what was wrong, or was left out, has been said. */
int vcr_export_mermaid(struct vcr_tool *t, struct vcr_reader *r, FILE *out);
/* The session as a page of its own. Likewise. */
int vcr_export_html(struct vcr_tool *t, struct vcr_reader *r, FILE *out);
/* The session's HTTP exchanges as a cassette of vcrpy. Likewise. */
int vcr_export_cassette(struct vcr_tool *t, struct vcr_reader *r, FILE *out);

#endif
