//! What stands at the end of the long helps: examples, and the environment.

pub(super) const TOP: &str = "\
Examples:
  modelcar plan Qwen/Qwen2.5-0.5B-Instruct
  modelcar push Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1
  modelcar render $IMAGE --gpu-type nvidia-l4 | kubectl apply -f -

Environment:
  HF_TOKEN, HF_TOKEN_PATH, HF_HOME
          The Hub's token, the file that holds it, the folder with a `token` file
  HF_ENDPOINT
          Address of the Hub, for mirrors [default: https://huggingface.co]
  HF_HUB_OFFLINE
          Ask nothing of the Hub, when it is 1
  SOURCE_DATE_EPOCH
          Time of every entry of the image, in seconds since 1970 [default: 0]
  MODELCAR_REGISTRY_USERNAME, MODELCAR_REGISTRY_PASSWORD
          Login for the registry of IMAGE
  DOCKER_CONFIG, REGISTRY_AUTH_FILE
          Folder of Docker's config.json; login file of podman, buildah and skopeo
  GOOGLE_APPLICATION_CREDENTIALS, CLOUDSDK_CONFIG, GCE_METADATA_HOST
          Google's credentials: a file, gcloud's folder, HOST[:PORT] of the metadata server
  MODELCAR_LOG
          What is logged without -v: a level, or levels of modules (debug, modelcar_core::registry=trace)
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY
          Proxies that lead out, and the hosts that need none
  SSL_CERT_FILE
          Certificate authorities to trust, in PEM form
  HOME, XDG_CACHE_HOME, XDG_CONFIG_HOME, XDG_RUNTIME_DIR
          Where login files, tokens and the local cache lie";

pub(super) const PLAN: &str = "\
Examples:
  modelcar plan Qwen/Qwen2.5-0.5B-Instruct --base scratch
  modelcar plan Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1
  modelcar plan ./my-model --output plan.json
  modelcar plan --check plan.json";

pub(super) const PUSH: &str = "\
Examples:
  modelcar push Qwen/Qwen2.5-0.5B-Instruct europe-docker.pkg.dev/p/r/qwen:v1
  modelcar push ./my-model localhost:5000/my-model:v1 --base scratch
  modelcar push --plan plan.json localhost:5000/my-model:v1";

pub(super) const BUILD: &str = "\
Examples:
  modelcar build ./my-model --output oci:./image --base scratch
  modelcar build owner/name --output oci-archive:image.tar";

pub(super) const INSPECT: &str = "\
Examples:
  modelcar inspect europe-docker.pkg.dev/p/r/qwen:v1
  modelcar inspect oci:./image --format json
  modelcar inspect --lint quay.io/somebody/modelcar:1";

pub(super) const DOCTOR: &str = "\
Examples:
  modelcar doctor europe-docker.pkg.dev/p/r/qwen:v1
  modelcar doctor localhost:5000/qwen:v1 --format json";

pub(super) const RENDER: &str = "\
Examples:
  modelcar render $IMAGE --gpu-type nvidia-l4 | kubectl apply -f -
  modelcar render $IMAGE --kind smoke-test --runtime-version v0.23.0
  modelcar render $IMAGE --custom-container vllm/vllm-openai:v0.23.0 --native";

pub(super) const CHECK: &str = "\
Examples:
  kubectl get pod -l serving.kserve.io/inferenceservice=qwen -o json | modelcar check -
  kubectl get isvc,deploy,rs,pod,events -o json | modelcar check -
  modelcar check pod.json --expect sha256:… --format json";
