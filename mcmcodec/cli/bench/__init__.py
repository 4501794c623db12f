"""Measuring: metrics, peers, rate-distortion runs, speed and reports. Never imported by the codec itself.

Beside the codec's own packages it needs those of the extra ``bench``; what is missing is named where it is needed.
"""
