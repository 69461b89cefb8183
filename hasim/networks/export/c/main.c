/* Does this machine compute what the network's maker computed? */

#include <stdio.h>

#include "golden.h"
#include "network.h"

int main(void)
{
    static hasim_state state;
    uint16_t mask[HASIM_BINS];
    long wrong = 0;
    int frame, layer, i;
    hasim_start(&state);
    for (frame = 0; frame < GOLDEN_FRAMES; frame++) {
        hasim_step(&state, golden_features[frame], mask);
        for (i = 0; i < HASIM_BINS; i++) {
            wrong += mask[i] != golden_masks[frame][i];
        }
    }
    for (layer = 0; layer < HASIM_LAYERS; layer++) {
        for (i = 0; i < HASIM_WIDTH; i++) {
            wrong += state.hidden[layer][i] != golden_hidden[layer][i];
            wrong += state.cell[layer][i] != golden_cell[layer][i];
        }
    }
    printf("%d frames, %ld numbers differ\n", GOLDEN_FRAMES, wrong);
    return wrong != 0;
}
