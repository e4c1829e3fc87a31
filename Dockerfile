# samref on a CPU, with its default weights inside:
#
#   docker build -t samref .
#   docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/data" samref refine images masks refined
ARG PYTHON=python:3.12-slim

FROM ${PYTHON} AS wheel
COPY . /source
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels /source

FROM ${PYTHON}
# PyTorch first, from the index of its CPU builds: the other one brings gigabytes of CUDA.
RUN pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu torch torchvision
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl && rm -r /wheels
# Whoever the container runs as can read the weights and keep embeddings.
ENV SAMREF_CACHE=/cache HOME=/tmp
RUN samref weights mobile_sam && chmod -R a+rwX /cache
WORKDIR /data
ENTRYPOINT ["samref"]
CMD ["--help"]
