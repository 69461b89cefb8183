/* A mask network in integers: one call per frame. Sizes are in parameters.h. */

#ifndef HASIM_NETWORK_H
#define HASIM_NETWORK_H

#include <stdint.h>

#include "parameters.h"

/* What a network remembers from frame to frame; one for every ear that it serves. */
typedef struct {
    int8_t hidden[HASIM_LAYERS][HASIM_WIDTH];
    int16_t cell[HASIM_LAYERS][HASIM_WIDTH];
} hasim_state;

/* Begin anew. */
void hasim_start(hasim_state *state);

/* The mask of a frame, 0 to HASIM_MASK_TOP, from its features, the levels that
   HASIM_FEATURE_STEP, _ZERO, _LOWEST and _HIGHEST describe. */
void hasim_step(hasim_state *state, const int16_t features[HASIM_FEATURES],
                uint16_t mask[HASIM_BINS]);

#endif
