"""How like its original a picture is: PSNR, MS-SSIM, LPIPS, DISTS, colour. Imports neither training nor commands."""
