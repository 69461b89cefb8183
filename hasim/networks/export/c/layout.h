/* How the numbers of a network are laid out; only network.c and parameters.c need to know. */

#ifndef HASIM_LAYOUT_H
#define HASIM_LAYOUT_H

#include <stdint.h>

#include "parameters.h"

/* Levels of a point; one stands for step * (level - zero), and code needs no steps. */
typedef struct {
    int32_t lowest, highest, zero;
} hasim_levels;

/* weights[group][output][input]; bias, multiplier, shift[group][output]. Weights from -8 to 7 are
   packed: plus 8, two to a byte, the first one in the low half. */
typedef struct {
    int groups, outputs, inputs;
    const int8_t *weights; /* one of the two is null */
    const uint8_t *packed;
    const int32_t *bias;
    const int32_t *multiplier;
    const uint8_t *shift;
    hasim_levels levels;
} hasim_matrix;

typedef struct {
    int32_t first, second;
    int shift;
    hasim_levels levels;
} hasim_sum;

typedef struct {
    int32_t multiplier;
    int shift;
    hasim_levels levels;
} hasim_product;

typedef struct {
    hasim_matrix input, recurrent;
    hasim_sum gate_sum;
    const int8_t *gate_tables; /* [4][number of levels of gate_sum] */
    hasim_levels gates[4];     /* input, forget, cell, output */
    hasim_product kept, written;
    hasim_sum cell;
    const int8_t *tanh_table;       /* one of the two is null */
    const int16_t *tanh_thresholds; /* rising */
    int tanh_thresholds_count;
    hasim_levels cell_tanh;
    hasim_product hidden;
} hasim_layer;

extern const hasim_layer hasim_layers[HASIM_LAYERS];
extern const hasim_matrix hasim_last;
extern const uint16_t hasim_knots[];
extern const hasim_product hasim_mask;
#if HASIM_INTERLEAVED
extern const int16_t hasim_order[HASIM_WIDTH];
#endif
#if HASIM_HEAD
extern const hasim_matrix hasim_head;
extern const int16_t hasim_head_table[];
#endif
#if HASIM_BANDS
extern const int16_t hasim_lower[HASIM_BINS];
extern const int16_t hasim_share[HASIM_BINS];
#endif

#endif
