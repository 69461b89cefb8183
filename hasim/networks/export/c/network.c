/* A mask network in integers. Nothing here depends on the machine: no floating point, no shift of
   a negative number, no sum beyond its type (sums of products fit 32 bits whatever comes in, as
   was checked when the network was made). */

#include "network.h"

#include "layout.h"

#define LOGIT_BITS 16    /* fractional bits of what enters the last sigmoid */
#define KNOT_BITS 5      /* its knots are 1/32 apart */
#define SIGMOID_RANGE 16 /* beyond, it is 0 or 1 */
#define PART_BITS (LOGIT_BITS - KNOT_BITS)
#define BANK_BITS 14 /* fractional bits of a share */

/* x / 2^shift to the nearest integer, halves up. */
static int64_t shifted(int64_t x, int shift)
{
    if (shift > 0) {
        x += (int64_t)1 << (shift - 1);
    }
    return x < 0 ? ~(~x >> shift) : x >> shift;
}

/* The level so many steps from zero. */
static int32_t clipped(int64_t moved, const hasim_levels *levels)
{
    moved += levels->zero;
    if (moved < levels->lowest) {
        return levels->lowest;
    }
    return moved > levels->highest ? levels->highest : (int32_t)moved;
}

static int32_t sum(const hasim_sum *to, int32_t a, int32_t b)
{
    int64_t total = (int64_t)a * to->first + (int64_t)b * to->second;
    return clipped(shifted(total, to->shift), &to->levels);
}

static int32_t product(const hasim_product *to, int32_t a, int32_t b)
{
    int64_t scaled = (int64_t)(a * b) * to->multiplier;
    return clipped(shifted(scaled, to->shift), &to->levels);
}

static int32_t weight(const hasim_matrix *matrix, int32_t number)
{
    if (matrix->weights) {
        return matrix->weights[number];
    }
    return (matrix->packed[number / 2] >> number % 2 * 4 & 15) - 8;
}

static void multiply(const hasim_matrix *matrix, const int16_t *x, int32_t *y)
{
    int32_t number = 0;
    int group, output, input, row = 0;
    for (group = 0; group < matrix->groups; group++) {
        for (output = 0; output < matrix->outputs; output++, row++) {
            int32_t total = matrix->bias[row];
            for (input = 0; input < matrix->inputs; input++) {
                total += weight(matrix, number++) * x[input];
            }
            y[row] = clipped(shifted((int64_t)total * matrix->multiplier[row], matrix->shift[row]),
                             &matrix->levels);
        }
        x += matrix->inputs;
    }
}

static int32_t tanh_level(const hasim_layer *layer, int32_t cell)
{
    int low = 0, high = layer->tanh_thresholds_count;
    if (layer->tanh_table) {
        return layer->tanh_table[cell - layer->cell.levels.lowest];
    }
    while (low < high) { /* how many thresholds has the cell reached? */
        int middle = (low + high) / 2;
        if (layer->tanh_thresholds[middle] <= cell) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return layer->cell_tanh.lowest + low;
}

/* x becomes the layer's output; hidden and cell its new state. */
static void recur(const hasim_layer *layer, int16_t *x, int8_t *hidden, int16_t *cell)
{
    int32_t own[4 * HASIM_WIDTH], past[4 * HASIM_WIDTH];
    const hasim_levels *input = &layer->input.levels, *recurrent = &layer->recurrent.levels;
    int table = layer->gate_sum.levels.highest - layer->gate_sum.levels.lowest + 1;
    int size = layer->recurrent.inputs, unit, gate;
    multiply(&layer->input, x, own);
    for (unit = 0; unit < HASIM_WIDTH; unit++) {
        x[unit] = hidden[unit];
    }
    multiply(&layer->recurrent, x, past);
    for (unit = 0; unit < HASIM_WIDTH; unit++) {
        int first = unit / size * 4 * size + unit % size;
        int32_t gates[4], kept, written, c, t;
        for (gate = 0; gate < 4; gate++) {
            int at = first + gate * size;
            int32_t total =
                sum(&layer->gate_sum, own[at] - input->zero, past[at] - recurrent->zero);
            gates[gate] = layer->gate_tables[gate * table + total - layer->gate_sum.levels.lowest] -
                          layer->gates[gate].zero;
        }
        kept = product(&layer->kept, gates[1], cell[unit] - layer->cell.levels.zero);
        written = product(&layer->written, gates[0], gates[2]);
        c = sum(&layer->cell, kept - layer->kept.levels.zero, written - layer->written.levels.zero);
        t = tanh_level(layer, c) - layer->cell_tanh.zero;
        cell[unit] = (int16_t)c;
        hidden[unit] = (int8_t)product(&layer->hidden, gates[3], t);
        x[unit] = hidden[unit];
    }
}

/* 65535 * 2^11 times the sigmoid of x / 2^16: straight lines between the knots. */
static int32_t sigmoid(int32_t x)
{
    int32_t size = x < 0 ? -x : x, index, found;
    if (size > SIGMOID_RANGE << LOGIT_BITS) {
        size = SIGMOID_RANGE << LOGIT_BITS;
    }
    index = size >> PART_BITS;
    if (index > (SIGMOID_RANGE << KNOT_BITS) - 1) {
        index = (SIGMOID_RANGE << KNOT_BITS) - 1;
    }
    found = ((int32_t)hasim_knots[index] << PART_BITS) +
            (hasim_knots[index + 1] - hasim_knots[index]) * (size - (index << PART_BITS));
    return x < 0 ? ((int32_t)65535 << PART_BITS) - found : found;
}

#if HASIM_BANDS
static int32_t between_bands(const int32_t *bands, int bin)
{
    int64_t below = (int64_t)bands[hasim_lower[bin]] * hasim_share[bin];
    int64_t above =
        (int64_t)bands[hasim_lower[bin] + 1] * (((int32_t)1 << BANK_BITS) - hasim_share[bin]);
    return (int32_t)shifted(below + above, BANK_BITS);
}
#endif

void hasim_start(hasim_state *state)
{
    int layer, unit;
    for (layer = 0; layer < HASIM_LAYERS; layer++) {
        for (unit = 0; unit < HASIM_WIDTH; unit++) {
            state->hidden[layer][unit] = (int8_t)hasim_layers[layer].hidden.levels.zero;
            state->cell[layer][unit] = (int16_t)hasim_layers[layer].cell.levels.zero;
        }
    }
}

void hasim_step(hasim_state *state, const int16_t features[HASIM_FEATURES],
                uint16_t mask[HASIM_BINS])
{
    int16_t x[HASIM_WIDEST];
    int32_t y[HASIM_WIDEST];
    int layer, i;
    for (i = 0; i < HASIM_FEATURES; i++) {
        x[i] = features[i];
    }
    for (layer = 0; layer < HASIM_LAYERS; layer++) {
#if HASIM_INTERLEAVED
        if (layer > 0) {
            for (i = 0; i < HASIM_WIDTH; i++) {
                y[i] = x[hasim_order[i]];
            }
            for (i = 0; i < HASIM_WIDTH; i++) {
                x[i] = (int16_t)y[i];
            }
        }
#endif
        recur(&hasim_layers[layer], x, state->hidden[layer], state->cell[layer]);
    }
#if HASIM_HEAD
    multiply(&hasim_head, x, y);
    for (i = 0; i < HASIM_HEAD; i++) {
        x[i] = hasim_head_table[y[i] - hasim_head.levels.lowest];
    }
#endif
    multiply(&hasim_last, x, y);
#if HASIM_BANDS && HASIM_SIGMOID_FIRST
    for (i = 0; i < HASIM_BANDS; i++) {
        y[i] = sigmoid(y[i]);
    }
#endif
    for (i = 0; i < HASIM_BINS; i++) {
#if !HASIM_BANDS
        int32_t found = sigmoid(y[i]);
#elif HASIM_SIGMOID_FIRST
        int32_t found = between_bands(y, i);
#else
        int32_t found = sigmoid(between_bands(y, i));
#endif
        mask[i] = (uint16_t)shifted((int64_t)found * hasim_mask.multiplier, hasim_mask.shift);
    }
}
