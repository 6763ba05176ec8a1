"""The package `webuiapi`: txt2img, img2img, progress from a second thread, interruption, settings of pictures, options."""

import concurrent.futures
import unittest

import webuiapi
from PIL import Image, ImageDraw

from easel import SIZE, Server

QUICK = {"width": SIZE, "height": SIZE, "steps": 4, "cfg_scale": 4}


class WebUi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.api = webuiapi.WebUIApi(host=cls.server.host, port=cls.server.port, sampler="Euler a")

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def test_txt2img_and_the_settings_inside(self):
        result = self.api.txt2img(prompt="a red apple", negative_prompt="a pear", seed=7, batch_size=2, **QUICK)
        self.assertEqual([image.size for image in result.images], [(SIZE, SIZE)] * 2)
        self.assertEqual((result.info["all_seeds"], result.info["sampler_name"]), ([7, 8], "Euler a"))
        found = self.api.png_info(result.images[1])
        self.assertIn("Seed: 8", found.info)
        self.assertEqual(result.info["infotexts"][1], found.info)

    def test_img2img(self):
        start = self.api.txt2img(prompt="a red apple", seed=7, **QUICK).image
        result = self.api.img2img(images=[start], prompt="a green apple", denoising_strength=0.5, seed=8, **QUICK)
        self.assertEqual(result.image.size, (SIZE, SIZE))
        self.assertNotEqual(result.image.convert("RGB").tobytes(), start.convert("RGB").tobytes())

    def test_only_the_masked_part_is_drawn_and_the_rest_stays(self):
        start = Image.new("RGB", (192, 128), (250, 250, 240))
        mask = Image.new("L", start.size, 0)
        ImageDraw.Draw(mask).rectangle((100, 40, 139, 79), fill=255)
        inpaint = {"mask_image": mask, "mask_blur": 2, "inpaint_full_res": True, "inpaint_full_res_padding": 8}
        asked = {"prompt": "a red apple", "denoising_strength": 1.0, "seed": 8, "inpainting_fill": 1} | QUICK
        result = self.api.img2img(images=[start], **inpaint, **asked).image.convert("RGB")
        self.assertEqual(result.size, start.size)
        box = (90, 30, 150, 90)
        outside = [(x, y) for x in range(192) for y in range(128) if not (box[0] <= x < box[2] and box[1] <= y < box[3])]
        self.assertTrue(all(result.getpixel(at) == (250, 250, 240) for at in outside))
        self.assertNotEqual(result.crop((105, 45, 135, 75)).getcolors(), [(900, (250, 250, 240))])
        whole = self.api.img2img(images=[start], mask_image=mask, mask_blur=0, inpaint_full_res=False, **asked).image
        self.assertEqual(whole.size, (SIZE, SIZE))

    def test_progress_from_a_second_thread_and_interruption_keeps_what_is_finished(self):
        with concurrent.futures.ThreadPoolExecutor() as threads:
            drawing = threads.submit(self.api.txt2img, prompt="a red apple", seed=7, n_iter=16, **QUICK | {"steps": 20})
            seen = {}

            def is_at_the_second():
                seen.update(self.api.get_progress())
                return seen["state"]["sampling_step"] > 20

            self.server.until(is_at_the_second)
            self.assertEqual((seen["state"]["job_count"], seen["state"]["sampling_steps"]), (1, 320))
            self.assertTrue(seen["current_image"], "a preview")
            self.api.interrupt()
            result = drawing.result(timeout=30)
        self.assertIn(len(result.images), range(1, 16))
        self.assertEqual(result.info["all_seeds"], list(range(7, 7 + len(result.images))))
        self.assertEqual(self.api.get_progress()["state"]["job_count"], 0)

    def test_options_and_lists(self):
        options = self.api.get_options()
        self.assertEqual(options["sd_model_checkpoint"], "easel-emoji")
        self.api.set_options(options)
        self.assertEqual(self.api.util_get_current_model(), "easel-emoji")
        self.assertEqual(self.api.util_get_model_names(), ["easel-emoji", "stub"])
        self.assertIn("Euler a", [sampler["name"] for sampler in self.api.get_samplers()])
        self.assertEqual(self.api.get_upscalers()[0]["name"], "None")
        # The package does not look at the status.
        refused = self.api.set_options({"sd_model_checkpoint": "midjourney"})
        self.assertEqual(refused["error"], "model_not_found")


if __name__ == "__main__":
    unittest.main()
