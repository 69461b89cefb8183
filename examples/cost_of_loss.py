"""What lost packets cost: one scene with one seed at four loss rates, from Python."""

import hasim

SETTINGS = {"duration_s": 8, "metrics": ["si_sdr", "stoi"]}


def both_ears(numbers, name):
    """The mean of left and right."""
    return (numbers[f"{name}_left"] + numbers[f"{name}_right"]) / 2


print("loss asked  realised  SI-SDR improvement (dB)  STOI improvement")
for loss in (0, 0.05, 0.2, 1):
    changes = SETTINGS | {"link.loss.mean_loss": loss}
    numbers = hasim.run("scenarios/noise_90deg.yaml", set=changes, out=None).numbers
    print(
        f"{loss:10.0%}  {numbers['loss_realised']:8.1%}"
        f"  {both_ears(numbers, 'si_sdr_improvement_db'):23.2f}"
        f"  {both_ears(numbers, 'stoi_improvement'):16.3f}"
    )
