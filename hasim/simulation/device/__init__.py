"""One ear's device: processor rates, memory, power, oscillator."""
